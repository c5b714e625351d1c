"""Memory by the size of the catalogue: what is measured, and the table; no times."""

import argparse

import pytest
from commands import run

from benchmarks.memory import Catalogue, measure_catalogue, row

TIMES = {
    "train_peak_bytes": 1.5e9,
    "train_first_step_seconds": 6.04,
    "train_step_seconds": 0.05,
    "export_peak_bytes": 2e9,
    "export_cpu_seconds": 9.8,
    "load_peak_bytes": 3e9,
    "load_first_answer_seconds": 20.0,
}


def test_a_row_has_the_costs_of_a_catalogue():
    cost = Catalogue(1_000_000, TIMES, graph_bytes=1_600_000, export_bytes=474_000_000)
    memory = ("1,500 MB", "6.0 s", "50", "2,000 MB", "10", "1.6 MB", "474 MB", "3,000 MB", "20.0 s")
    assert row(cost, 100) == ["1,000,000", "100", *memory]


def test_numbers_are_checked():
    assert "steps from 2" in run("benchmarks.memory", "--steps", "1").sentence(2)


@pytest.mark.slow
def test_a_small_catalogue_is_measured(tmp_path):
    flags = argparse.Namespace(embedding_dim=4, batch_size=8, steps=2)
    cost = measure_catalogue(300, tmp_path, flags)
    assert cost.times.keys() >= TIMES.keys()
    assert min(value for name, value in cost.times.items() if name.endswith("_bytes")) > 10e6
    assert 300 * 4 * 4 < cost.export_bytes
