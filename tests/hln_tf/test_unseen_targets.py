"""Test targets that a model never learnt: how many, and what would change it."""

import json

import commands
import pytest
import small_log
from commands import TINY, run

from hln_tf import Recommender, SessionDataset

QUICK = (*TINY, "--epochs", "1", "--batch_size", "64")
NEW = small_log.rows(small_log.new_since(145))


@pytest.fixture(scope="module")
def new_in_validation(tmp_path_factory):
    """A log whose items are all new from the validation part on."""
    directory = tmp_path_factory.mktemp("new")
    log = small_log.write(directory / "log.csv", NEW)
    outcome = commands.prepare(*small_log.FLAGS, "--input", log, "--output", directory / "data")
    assert outcome.code == 0, outcome.err
    return directory


def train(directory, *flags):
    """Train on the log; return the outcome and the content of metrics.json."""
    where = ("--data_dir", directory / "data", "--workdir", directory / "run")
    outcome = run("hln_tf.train", "--dataset", "custom", *where, *flags)
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((directory / "run" / "metrics.json").read_text())


def test_without_refit_the_end_of_the_training_names_it(new_in_validation, tmp_path):
    (tmp_path / "data").symlink_to(new_in_validation / "data")
    outcome, metrics = train(tmp_path, "--model", "markov", "--no-refit")
    assert metrics["trained_on"] == "train"
    assert metrics["unseen_test_targets"] == {"train": 106, "train+validation": 0}
    assert "106 of the 106 test targets (100.0%) are on items that train lacks" in outcome.err
    assert "together lack 0.0%: refit (--refit) trains the final model on both" in outcome.err


def test_a_log_of_ones_own_is_refitted_by_default(new_in_validation, tmp_path):
    (tmp_path / "data").symlink_to(new_in_validation / "data")
    outcome, metrics = train(tmp_path, "--model", "markov")
    assert metrics["trained_on"] == "train+validation"
    assert metrics["unseen_test_targets"] == {"train": 106, "train+validation": 0}
    assert "test targets" not in outcome.err
    assert "--no-refit" in outcome.err


def test_known_data_sets_are_not_refitted_by_default():
    from hln_tf.training.run_flags import parse

    assert not parse(["--dataset", "yoochoose64"], "train", "")[2].refit
    assert parse(["--dataset", "custom"], "train", "")[2].refit


@pytest.mark.slow
def test_clicks_without_an_index_count_as_misses(tmp_path):
    rows = small_log.rows(small_log.new_every_second_click)
    log = small_log.write(tmp_path / "log.csv", rows)
    flags = ("--input", log, "--output", tmp_path / "data", "--unseen_targets", "miss")
    assert commands.prepare(*small_log.FLAGS, *flags).code == 0
    _, metrics = train(tmp_path, *QUICK)
    assert metrics["test"]["prefixes"] == 116
    assert metrics["unseen_test_targets"] == {"train": 61, "train+validation": 61}
    # With 20 items in the catalogue every known target is among the first 20.
    assert metrics["test"]["recall@20"] == pytest.approx(55 / 116, abs=1e-12)
    outcome = run("hln_tf.evaluate", "--workdir", tmp_path / "run")
    assert f"recall@20 {100 * 55 / 116:.2f} %" in " ".join(outcome.out.split())


def test_in_python_they_count_as_misses_too(tmp_path, capsys):
    rows = small_log.rows(small_log.new_every_second_click)
    data = SessionDataset.from_clicks(
        small_log.table(rows).set_column(1, "time", [[row[1] for row in rows]]),
        **{"session": "session", "item": "item", "time": "time", "min_item_count": 1},
        unseen_targets="miss",
    )
    assert data.split("test").prefixes == 38
    assert data.split("test", unknown=True).prefixes == 116
    recommender = Recommender.fit(data, model="popularity", workdir=tmp_path / "run")
    assert recommender.metrics["test"]["prefixes"] == 116
    assert recommender.metrics["test"]["recall@20"] == pytest.approx(55 / 116, abs=1e-12)
    assert "61 of the 116 test targets (52.6%)" in capsys.readouterr().err
