"""`tuning.search` from Python."""

import csv
import json
import math

import numpy as np
import pytest

import hln_tf
import tuning
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.dataset import SessionDataset
from hln_tf.training import RunConfig
from tuning.results import Results
from tuning.workers import HOST, ID, PORT

TINY = {"embedding_dim": 4, "hidden_dim": 4, "num_groups": 1, "epochs": 1}


@pytest.fixture
def clicks():
    """A table of clicks, in which the next item is certain."""
    import pandas as pd

    random = np.random.default_rng(0)
    visits = random.integers(0, 12, 80)
    rows = [
        (n, f"i{(s + at) % 12}", 1000 * n + at) for n, s in enumerate(visits) for at in range(5)
    ]
    return pd.DataFrame(rows, columns=["visit", "sku", "time"])


@pytest.fixture
def dataset(clicks):
    return SessionDataset.from_clicks(
        clicks, session="visit", item="sku", time="time", test_seconds=0
    )


@pytest.mark.slow
def test_a_search_on_a_table_of_clicks_fits_a_recommender(dataset, tmp_path, capsys):
    settings = {"search": ["learning_rate", "dropout"], "ranges": {"dropout": (0, 0.3)}, **TINY}
    where = {"workdir": tmp_path / "search", "tuner": "random"}
    tuner = tuning.search(dataset, max_trials=2, **where, **settings)
    assert [trial.trial_id for trial in tuner.oracle.trials.values()] == ["0000", "0001"]
    again = tuning.search(dataset, max_trials=3, **where, **settings)
    assert [each.number for each in again.results.completed if each.number < 2] == [
        each.number for each in tuner.results.completed
    ]
    capsys.readouterr()
    again.results_summary(num_trials=2)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 4, "a header, a rule and two trials"
    best = again.best_config
    assert isinstance(best, RunConfig) and best.training.learning_rate > 0
    stored = json.loads((tmp_path / "search" / "best_config.json").read_text())
    assert RunConfig.from_dict(stored, "stored") == best
    recommender = hln_tf.Recommender.fit(dataset, **again.best_settings)
    config = recommender.run.config()
    assert (config.model_settings, config.training.learning_rate) == (
        best.model_settings,
        best.training.learning_rate,
    )
    assert config.training.refit, "the best settings leave it to fit"
    (model,) = again.get_best_models()
    assert model(np.array([[1, 2]])).shape[0] == 1
    items = dataset.item_ids
    rows = rows_of(dataset.split("validation"))
    sessions = [[items[item - 1] for item in row] for row in rows]
    metrics = hln_tf.Recommender(model, items, 50, " ").evaluate(sessions)
    assert metrics["mrr@20"] == pytest.approx(again.results.completed[0].score, abs=1e-6)


def rows_of(sessions):
    return np.split(sessions.items, sessions.offsets[1:-1])


def test_two_data_sets_score_a_trial_by_their_geometric_mean(make_plan, fake_training, chains):
    class Scores(fake_training):
        def __call__(self, config, run, dataset, should_stop):
            score = super().__call__(config, run, dataset, should_stop)
            assert config.data.dataset == dataset.name
            return score if dataset.name == "sample" else score / 4

    first = SessionDataset.from_directory(chains)
    second = SessionDataset(
        "other",
        first.item_ids,
        " ",
        "f",
        None,
        {p: first.split(p) for p in ("train", "validation")},
    )
    plan = make_plan(max_trials=3, datasets=[first, second])
    train = Scores(failing=[1])
    tuner = tuning.Tuner(plan, train, StopOnSignal())
    tuner.search()
    assert train.ran == [0, 0, 1, 2, 2]
    results = tuner.results
    for each in results.completed:
        assert each.scores == (pytest.approx(2 * each.score), pytest.approx(each.score / 2))
        assert each.score == pytest.approx(math.sqrt(each.scores[0] * each.scores[1]))
    runs = plan.run_directories("2")
    assert [run.path.name for run in runs] == ["0-sample", "1-other"]
    assert all((run.path / "config.json").is_file() for run in runs)
    with open(plan.workdir / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["mrr@20 on sample"]) == pytest.approx(
        4 * float(rows[0]["mrr@20 on other"])
    )
    assert rows[1]["status"] == "failed" and rows[1]["mrr@20 on other"] == ""
    assert "on sample" in results.describe() and "geometric mean" in results.describe()
    assert "sample and other" in (plan.workdir / "parallel.svg").read_text()


def test_a_search_of_the_tuner_goes_on_with_more_trials(make_plan, fake_training):
    train = fake_training()
    tuner = tuning.Tuner(make_plan(max_trials=2), train, StopOnSignal())
    tuner.search()
    tuner.oracle.max_trials = 4
    tuner.search()
    assert train.ran == [0, 1, 2, 3]


def test_two_tuners_of_one_directory_share_its_trials(make_plan, fake_training):
    plan = make_plan(max_trials=3)
    trains = [fake_training(), fake_training()]
    tuners = [tuning.Tuner(plan, train, StopOnSignal()) for train in trains]
    for tuner in tuners:
        tuner.search()
    assert [train.ran for train in trains] == [[0, 1, 2], []]


def test_the_search_without_a_score_has_no_best(make_plan, fake_training):
    tuner = tuning.Tuner(make_plan(max_trials=1), fake_training(failing=[0]), StopOnSignal())
    with pytest.raises(HlnError, match="trial 0: ValueError: trial 0 is bad"):
        tuner.search()
    for ask in (lambda: tuner.best_config, lambda: tuner.best_settings, tuner.results_summary):
        with pytest.raises(HlnError, match="no trial of the search"):
            ask()
    assert isinstance(tuner.results, Results)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": []}, ["`data` is empty"]),
        ({"data": 3}, ["`data` is int", "SessionDataset.from_clicks"]),
        ({"max_trails": 3}, ["'max_trails'", "learning_rate"]),
        ({"max_trials": 0}, ["`max_trials` is 0", "at least 1"]),
        ({"iterations": 2}, ["`iterations` does not apply to `tuner` bayesian", "`max_trials`"]),
        ({"tuner": "hyperband", "epochs": 3}, ["`epochs`", "`max_epochs`"]),
        ({"tuner": "hyperband", "median_stopping": True}, ["`median_stopping` does not apply"]),
        ({"tuner": "hyperband", "ranges": {"epochs": (2, 5)}}, ["'epochs'", "no hyperparameter"]),
        ({"search": ["wings"]}, ["'wings'", "num_groups"]),
        ({"ranges": {"dropout": (0.3, 0.1)}}, ["dropout=0.3:0.1", "LOW below HIGH"]),
        ({"model": "popularity"}, ["'popularity'", "no settings to search"]),
        ({"model": "sknn", "median_stopping": True}, ["median_stopping", "sknn"]),
        ({"model": "hnl"}, ["'hnl'", "hln"]),
        ({"preset": "none"}, ["'none'", "tuned"]),
        ({"embedding_dim": 0}, ["`embedding_dim` is 0"]),
    ],
)
def test_what_cannot_be_searched_is_an_error(dataset, tmp_path, arguments, words):
    arguments = {"data": dataset, "workdir": tmp_path / "search", **arguments}
    with pytest.raises(UsageError) as caught:
        tuning.search(arguments.pop("data"), **arguments)
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (tmp_path / "search").exists()


def test_a_table_is_made_a_data_set_first(clicks):
    with pytest.raises(UsageError, match="is DataFrame, expected a SessionDataset"):
        tuning.search(clicks)


def test_a_notebook_is_no_worker(dataset, monkeypatch):
    for name, value in ((ID, "w1"), (HOST, "127.0.0.1"), (PORT, "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"python -m tuning\.search"):
        tuning.search(dataset)


@pytest.mark.slow
def test_the_temporary_directory_of_a_search_goes_with_its_tuner(dataset):
    tuner = tuning.search(dataset, search=["aggregation"], max_trials=1, tuner="random", **TINY)
    workdir = tuner.plan.workdir
    assert (workdir / "trials.csv").is_file()
    tuner.temporary.cleanup()
    assert not workdir.exists()
