"""The start of a training: what is measured; no times."""

import re

import pytest
from commands import run
from toy import write_dataset


def test_rounds_are_checked():
    assert "--rounds is a whole number from 1" in run(
        "benchmarks.start", "--data_dir", "data", "--rounds", "0"
    ).sentence(2)


@pytest.mark.slow
def test_a_start_is_measured_and_leaves_no_run(tmp_path):
    splits = {split: [[1, 2, 3], [2, 3]] for split in ("train", "validation", "test")}
    write_dataset(tmp_path / "data", splits, num_items=3)
    outcome = run("benchmarks.start", "--data_dir", tmp_path / "data", "--rounds", "1")
    assert outcome.code == 0, outcome.err
    assert re.fullmatch(r"CPU seconds to the end of the first step: \S+ / \S+\n", outcome.out)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
