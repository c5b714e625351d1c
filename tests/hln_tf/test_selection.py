"""Refits for as many epochs as another run's validation chose."""

import dataclasses
import json

import numpy as np
import pytest
from commands import TINY, run

from hln_tf import SessionDataset
from hln_tf.training import RunDirectory
from hln_tf.training.fitting import fit_dataset


@pytest.fixture(scope="module")
def chosen(data, tmp_path_factory):
    """A finished run with a refit, of two epochs of which validation chose one."""
    path = tmp_path_factory.mktemp("runs") / "1"
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    outcome = run("hln_tf.train", *where, *TINY, "--epochs", "2", "--batch_size", "16", "--refit")
    assert outcome.code == 0, outcome.err
    return RunDirectory(path)


def again(chosen, workdir, *more):
    config = ("--config", chosen.path / "config.json", "--workdir", workdir)
    return run("hln_tf.train", *config, "--selection", chosen.path, *more)


@pytest.fixture(scope="module")
def repeated(chosen, tmp_path_factory):
    """A finished run with the choice of a copy of that run, which is gone."""
    path = tmp_path_factory.mktemp("repeated")
    copy = chosen.copy_to(path / "1")
    outcome = again(copy, path / "2")
    assert outcome.code == 0, outcome.err
    (copy.path / "config.json").unlink()
    return RunDirectory(path / "2")


def test_the_same_seed_gives_the_same_model(chosen, repeated):
    found, wanted = repeated, chosen
    assert found.metrics()["test"] == wanted.metrics()["test"]
    for name in ("sessions", "best_epoch", "trained_on", "refit_history", "unseen_test_targets"):
        assert found.metrics()[name] == wanted.metrics()[name]
    for one, other in zip(found.model().variables, wanted.model().variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_records_no_validation_of_its_own(chosen, tmp_path):
    outcome = again(chosen, tmp_path / "run", "--seed", "7")
    assert outcome.code == 0, outcome.err
    assert "\nepoch 1" not in outcome.err.replace("\r", "\n")
    results = RunDirectory(tmp_path / "run").metrics()
    assert not {"history", "validation"} & results.keys()
    assert results["test"] != chosen.metrics()["test"]
    config = RunDirectory(tmp_path / "run").config()
    assert config.selection.run == str(chosen.path)
    assert config.selection.epoch == chosen.metrics()["best_epoch"]
    assert config.training.seed == 7
    picture = ("--output", tmp_path / "curve")
    assert "selection" in run("hln_tf.visualize", "learning", tmp_path / "run", *picture).sentence()


@pytest.mark.slow
def test_both_seeds_are_one_row_of_means(chosen, tmp_path):
    assert again(chosen, tmp_path / "run", "--seed", "7").code == 0
    outcome = run("hln_tf.report", "--mean", chosen.path, tmp_path / "run")
    rows = [line for line in outcome.out.splitlines() if line.startswith("| hln")]
    assert len(rows) == 1
    assert "±" in rows[0]


@pytest.mark.slow
def test_more_epochs_or_patience_make_no_difference_to_the_choice(chosen, tmp_path):
    outcome = again(chosen, tmp_path / "run", "--epochs", "9", "--patience", "5")
    assert outcome.code == 0, outcome.err
    found = RunDirectory(tmp_path / "run").metrics()
    assert len(found["refit_history"]) == chosen.metrics()["best_epoch"]


def test_the_config_needs_the_other_run_no_more(repeated, tmp_path):
    found = repeated.copy_to(tmp_path / "2")
    (found.path / "metrics.json").unlink()  # as if it had been killed before its end
    config = ("--config", found.path / "config.json", "--workdir", found.path)
    outcome = run("hln_tf.train", *config)
    assert outcome.code == 0, outcome.err
    assert found.metrics()["test"] == repeated.metrics()["test"]
    changed = run("hln_tf.train", *config[:2], "--workdir", tmp_path / "3", "--hidden_dim", "9")
    sentence = changed.sentence(2)
    assert "config.json has the epoch that" in sentence and "hidden_dim 8, not 9" in sentence


@pytest.mark.slow
def test_a_run_may_choose_for_itself_again(chosen, tmp_path):
    itself = chosen.copy_to(tmp_path / "1")
    outcome = again(itself, itself.path, "--overwrite")
    assert outcome.code == 0, outcome.err
    assert itself.metrics()["test"] == chosen.metrics()["test"]


@pytest.mark.slow
def test_a_data_set_is_fitted_with_a_selection(chosen, repeated, data, tmp_path):
    config = repeated.config()
    config = dataclasses.replace(config, version="later")
    results = fit_dataset(
        SessionDataset.from_directory(data), config, RunDirectory(tmp_path / "fitted")
    )
    assert results["test"] == chosen.metrics()["test"]


@pytest.mark.parametrize("content", ["[]", '{"best_epoch": "two"}', "{}", "{"])
def test_damaged_results_are_refused(chosen, tmp_path, content):
    damaged = chosen.copy_to(tmp_path / "1")
    if content.startswith('{"'):
        content = json.dumps({**chosen.metrics(), **json.loads(content)})
    (damaged.path / "metrics.json").write_text(content)
    sentence = again(damaged, tmp_path / "run").sentence()
    assert str(damaged.path / "metrics.json") in sentence
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--no-refit",), ("--refit",)),
        (("--learning_rate", "0.3"), ("training.learning_rate 0.001, not 0.3", "the seed alone")),
        (("--hidden_dim", "9"), ("model_settings.hidden_dim 8, not 9",)),
    ],
)
def test_another_setting_is_refused(chosen, tmp_path, more, words):
    sentence = again(chosen, tmp_path / "run", *more).sentence(2)
    assert "--selection" in sentence
    assert all(word in sentence for word in words)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_of_another_model_is_refused(chosen, data, tmp_path):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run", "--refit")
    for model, word in (("stamp", "model 'hln', not 'stamp'"), ("markov", "no epochs")):
        outcome = run("hln_tf.train", *where, "--model", model, "--selection", chosen.path)
        assert word in outcome.sentence(2)


def test_a_run_that_is_not_finished_is_refused(chosen, tmp_path):
    unfinished = chosen.copy_to(tmp_path / "unfinished")
    (unfinished.path / "metrics.json").unlink()
    sentence = again(unfinished, tmp_path / "run").sentence()
    assert str(unfinished.path) in sentence
    assert "finish its training" in sentence


def test_a_missing_run_is_refused(chosen, tmp_path):
    config = ("--config", chosen.path / "config.json", "--workdir", tmp_path / "run")
    outcome = run("hln_tf.train", *config, "--selection", tmp_path / "none")
    sentence = outcome.sentence()
    assert str(tmp_path / "none") in sentence and "--selection" in sentence
