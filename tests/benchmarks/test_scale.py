"""The cost per click: what is measured of a log, and the arithmetic of larger ones; no times."""

import argparse

import pytest
from commands import run

from benchmarks.processes import ProcessCost
from benchmarks.scale import Size, costs_table, measure_size, plan_table

COST = ProcessCost(seconds=90.0, cpu_seconds=72.0, peak_bytes=300_000_000)
SIZE = Size(
    clicks=10_000_000,
    generating=COST,
    preparing=COST,
    streaming=COST,
    raw_bytes=450_000_000,
    exchanged_bytes=1_000_000_000,
    written_bytes=32_000_000,
    side_bytes=36_000,
    counts={"items": 2_000, "examples": 8_000_000, "read_cpu_seconds": 16.0},
)


def test_costs_are_per_click():
    (row,) = costs_table([SIZE]).splitlines()[2:]
    assert row.startswith("| 10,000,000 | 7.2 | 90 | 300 MB | 100 | 3.2 | 7.2 | 300 MB | 2.0 |")


def test_larger_logs_cost_in_proportion():
    table = plan_table(SIZE, [10**8, 10**9, 10**11], hours=2, core_price=0.1)
    tiny, small, large = table.splitlines()[2:5]
    assert tiny == "| 100,000,000 | 0.2 | 1 | 4 GB | 10 GB | 0.3 GB | 0.02 |"
    assert small == "| 1,000,000,000 | 2.0 | 1 | 45 GB | 100 GB | 3 GB | 0.20 |"
    assert large == "| 100,000,000,000 | 200.0 | 100 | 4,500 GB | 10,000 GB | 320 GB | 20.00 |"
    assert "18 bytes an item" in table and "18 MB for a million items" in table


def test_numbers_are_checked():
    outcome = run("benchmarks.scale", "--clicks", "0")
    assert "are positive numbers" in outcome.sentence(2)


def test_what_is_not_counted_is_not_zero(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.scaling.exchange.preprocess", lambda arguments: None)
    sentence = run("benchmarks.scaling.exchange", tmp_path / "counts").sentence()
    assert "no batch was handed over in this process" in sentence
    assert not (tmp_path / "counts").exists()


@pytest.mark.slow
def test_a_small_log_is_measured(tmp_path):
    flags = argparse.Namespace(clicks_per_part=1_000_000, steps=2, batch_size=8)
    size = measure_size(3_000, tmp_path, flags, [])
    assert size.raw_bytes == (tmp_path / "log").stat().st_size
    assert size.exchanged_bytes > size.raw_bytes / 2 and size.written_bytes > 3_000
    assert size.counts["trained_examples"] == 16 and size.counts["examples"] > 500
    assert min(size.generating.peak_bytes, size.streaming.peak_bytes) > 10e6
