"""Ranks over all test targets, and over those that train knows among what it knows."""

import numpy as np
import pytest
from commands import run
from toy import write_dataset

from benchmarks.denominators import ranks_by_denominator
from hln_tf.training.run_directory import RunDirectory


@pytest.mark.slow
def test_popularity_by_each_denominator(tmp_path):
    # Items 1 to 4 have 6, 4, 3 and 1 clicks in train and validation, 5 and 6 have none.
    train = [[1, 2], [1, 2], [1, 2], [1, 3], [1, 3]]
    sessions = {"train": train, "validation": [[1, 2], [3, 4]], "test": [[1, 4, 5], [2, 3], [1, 6]]}
    write_dataset(tmp_path / "data", sessions, 6)
    flags = ("--dataset", "sample", "--data_dir", tmp_path / "data", "--model", "popularity")
    assert run("hln_tf.train", *flags, "--refit", "--workdir", tmp_path / "run").code == 0
    found = ranks_by_denominator(RunDirectory(tmp_path / "run"), tmp_path / "data")
    # Of equally popular items the first in the vocabulary is ranked before.
    expected = {
        ("all", "all"): [4, 5, 3, 6],
        ("on items of train", "all"): [4, 3],
        ("on items of train", "items of train"): [4, 3],
    }
    assert found.keys() == expected.keys()
    for what, ranks in expected.items():
        np.testing.assert_array_equal(found[what], ranks)
    outcome = run("benchmarks.denominators", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    lines = [line for line in outcome.out.splitlines() if "items of train" in line]
    assert [line.split("|")[4].strip() for line in lines] == ["2", "2"]
    assert [line.split("|")[5].strip() for line in lines] == ["100.00", "100.00"]


@pytest.mark.slow
def test_candidates_are_the_items_of_train(tmp_path):
    # Neighbours hold 3 and 4; all other items tie, and count as ranked before the target.
    sessions = {"train": [[3, 4], [4, 3], [5, 4]], "validation": [[3, 4]], "test": [[3, 5]]}
    write_dataset(tmp_path / "data", sessions, 5)
    flags = ("--dataset", "sample", "--data_dir", tmp_path / "data", "--model", "sknn")
    assert run("hln_tf.train", *flags, "--no-refit", "--workdir", tmp_path / "run").code == 0
    found = ranks_by_denominator(RunDirectory(tmp_path / "run"), tmp_path / "data")
    np.testing.assert_array_equal(found["on items of train", "all"], [5])
    np.testing.assert_array_equal(found["on items of train", "items of train"], [3])
