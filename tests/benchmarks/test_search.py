"""The benchmark of the search algorithms: a small one, whose processes are killed."""

import dataclasses
import json

import numpy as np
import pytest
from commands import run
from toy import write_dataset

from benchmarks.search import Search, check
from hln_tf.common.errors import HlnError


@pytest.mark.slow
def test_a_search_that_is_killed_at_random_has_different_trials_that_end_once(tmp_path):
    random = np.random.default_rng(0)
    sessions = [[int(start + i) % 12 + 1 for i in range(5)] for start in random.integers(0, 12, 60)]
    splits = {"train": sessions[:40], "validation": sessions[40:50], "test": sessions[50:]}
    write_dataset(tmp_path / "data", splits, num_items=12)
    workdir = tmp_path / "searches"
    outcome = run(
        *("benchmarks.search", "--data_dir", tmp_path / "data", "--workdir", workdir),
        *("--trials", "8", "--epochs", "2", "--kills", "3", "--seeds", "1", "--tuners", "bayesian"),
        *("--", "--embedding_dim", "4", "--hidden_dim", "4", "--checkpoint_minutes", "0"),
        *("--search", "learning_rate,num_groups", "--range", "num_groups=1,2"),
    )
    assert outcome.code == 0, outcome.err
    results = json.loads((workdir / "results.json").read_text())
    assert results["bayesian"]["trials"] == 8 and results["bayesian"]["epochs"] == 16
    assert len(results["bayesian"]["killed"]) == 3
    assert len(results["confirmed"]) >= 2 and "0" in results["confirmed"]
    assert (workdir / "search.png").stat().st_size
    search = Search("bayesian", workdir / "bayesian", ())
    epochs, best = search.curve()
    assert epochs == list(range(2, 17, 2)) and best == sorted(best)


@pytest.fixture
def search(tmp_path):
    header = "trial,status,mrr@20,epochs,stopped_after,parent,rate,reason\n"
    rows = [
        "0,completed,0.2,1,,,0.1,\n",
        "1,completed,0.3,1,,,0.2,\n",
        "2,completed,0.1,3,,1,0.2,\n",
    ]
    (tmp_path / "trials.csv").write_text(header + "".join(rows))
    (tmp_path / "oracle.json").write_text(json.dumps({"end_order": ["0001", "0000", "0002"]}))
    return Search("hyperband", tmp_path, ())


def test_the_cost_of_a_promoted_trial_is_that_of_its_own_epochs(search):
    assert search.curve() == ([1, 2, 4], [0.3, 0.3, 0.3])
    check(search, 3)


@pytest.mark.parametrize(
    ("rows", "ended"),
    [("3,completed,0.2,1,,,0.1,\n", "0003"), ("3,completed,0.4,1,,,0.3,\n", "0001")],
)
def test_equal_points_and_trials_that_end_twice_are_errors(search, rows, ended):
    with open(search.workdir / "trials.csv", "a") as file:
        file.write(rows)
    state = {"end_order": ["0001", "0000", "0002", ended]}
    (search.workdir / "oracle.json").write_text(json.dumps(state))
    with pytest.raises(HlnError, match="expected 4 different trials that end once"):
        check(search, 4)
    assert dataclasses.replace(search, workdir=search.workdir / "none").ended() == []
