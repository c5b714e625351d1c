"""The preprocessing benchmark: rounds, compared results, measured memory; no times."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import preprocessing as benchmark
from benchmarks.preprocessing import BenchmarkSettings, compare, format_table, list_programs
from benchmarks.processes import ProcessCost, measure, python
from hln_tf.common.errors import HlnError

TINY = BenchmarkSettings(clicks=3_000, naive_clicks=2_000, rounds=2)


def test_programs_run_in_turn(tmp_path, monkeypatch):
    runs = []

    def run(command, log, out):
        Path(out).mkdir()
        runs.append((command[0], Path(log).name))
        return ProcessCost(len(runs), 1.0, 1)

    monkeypatch.setattr(benchmark, "_run", run)
    monkeypatch.setattr(benchmark, "check_results", lambda directory, clicks: None)
    costs = compare(TINY, tmp_path)
    one_round = [
        ("beam_preprocess", "3000.log"),
        ("benchmarks.preprocessing_baselines.in_memory", "3000.log"),
        ("benchmarks.preprocessing_baselines.elementwise", "2000.log"),
    ]
    assert runs == [*one_round, *one_round, ("beam_preprocess", "2000.log")]
    lines = format_table(TINY, costs).splitlines()
    assert len(lines) == 2 + len(list_programs(TINY))
    assert lines[2].startswith("| beam_preprocess | 3,000 | 1,875 | 750 |")  # 1 s and 4 s


@pytest.mark.slow
def test_all_have_the_same_result(tmp_path, capsys):
    costs = compare(BenchmarkSettings(clicks=3_000, naive_clicks=3_000, rounds=1), tmp_path)
    assert "same result for 3,000 clicks" in capsys.readouterr().out
    assert [len(runs) for runs in costs.values()] == [1, 1, 1]
    assert all(run.peak_bytes > 10e6 for runs in costs.values() for run in runs)
    vocabulary = tmp_path / "3000-beam_preprocess-0" / "vocabulary.txt"
    other = tmp_path / f"3000-{benchmark.IN_MEMORY}-0" / "sessions.npz"
    with np.load(other) as columns:
        changed = dict(columns)
    assert changed["vocabulary"].tolist() == vocabulary.read_text().split()
    changed["train_dates"] += 1
    np.savez(other, **changed)
    with pytest.raises(HlnError, match=f"3000-{benchmark.IN_MEMORY}-0 has another result"):
        benchmark.check_results(tmp_path, [3_000])


def test_memory_of_children_counts():
    child = "import time; block = bytearray(200 << 20); time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert measure(python("-c", parent)).peak_bytes > 200 << 20


def test_a_failure_is_reported():
    with pytest.raises(HlnError, match="failed: ValueError: no"):
        measure([sys.executable, "-c", "raise ValueError('no')"])
