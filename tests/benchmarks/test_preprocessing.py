"""The benchmark: turns, results that are compared, memory that is measured; no times."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import preprocessing as benchmark
from benchmarks.preprocessing import BenchmarkSettings, compare, contestants, table
from benchmarks.processes import Measured, measure, python
from hln_tf.common.errors import HlnError

pytest.importorskip("pandas", reason="the extra `benchmark` is not installed")
TINY = BenchmarkSettings(clicks=3_000, naive_clicks=2_000, rounds=2)


def test_programs_take_turns(tmp_path, monkeypatch):
    runs = []

    def run(command, log, out):
        Path(out).mkdir()
        runs.append((command[0], Path(log).name))
        return Measured(len(runs), 1.0, 1)

    monkeypatch.setattr(benchmark, "_run", run)
    monkeypatch.setattr(benchmark, "check_results", lambda directory, clicks: None)
    taken = compare(TINY, tmp_path)
    turn = [
        ("beam_preprocess", "3000.log"),
        ("benchmarks.preprocessing_baselines.dataframe", "3000.log"),
        ("benchmarks.preprocessing_baselines.elementwise", "2000.log"),
    ]
    assert runs == [*turn, *turn, ("beam_preprocess", "2000.log")]
    lines = table(TINY, taken).splitlines()
    assert len(lines) == 2 + len(contestants(TINY))
    assert lines[2].startswith("| beam_preprocess | 3,000 | 1,875 | 750 |")  # 1 s and 4 s


def test_all_have_the_same_result(tmp_path, capsys):
    taken = compare(BenchmarkSettings(clicks=3_000, naive_clicks=3_000, rounds=1), tmp_path)
    assert "same result for 3,000 clicks" in capsys.readouterr().out
    assert [len(runs) for runs in taken.values()] == [1, 1, 1]
    assert all(run.peak_bytes > 10e6 for runs in taken.values() for run in runs)
    vocabulary = tmp_path / "3000-beam_preprocess-0" / "vocabulary.txt"
    other = tmp_path / "3000-pandas-0" / "sessions.npz"
    with np.load(other) as columns:
        changed = dict(columns)
    assert changed["vocabulary"].tolist() == vocabulary.read_text().split()
    changed["train_dates"] += 1
    np.savez(other, **changed)
    with pytest.raises(HlnError, match="3000-pandas-0 has another result"):
        benchmark.check_results(tmp_path, [3_000])


def test_memory_of_children_counts():
    child = "import time; block = bytearray(200 << 20); time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert measure(python("-c", parent)).peak_bytes > 200 << 20


def test_failure_is_told():
    with pytest.raises(HlnError, match="failed: ValueError: no"):
        measure([sys.executable, "-c", "raise ValueError('no')"])


def test_pandas_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HlnError, match=r"pandas is missing.*hln-tf\[benchmark\]"):
        benchmark.main([])
