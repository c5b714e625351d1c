"""A finished run that is asked for more epochs goes on."""

import json
import shutil

import numpy as np
import pytest
from commands import TINY, run, weights

from hln_tf.training.run_directory import RunDirectory


def train(data, path, epochs, *flags):
    arguments = ("--dataset", "sample", "--data_dir", data, "--workdir", path, *TINY)
    more = ("--batch_size", "32", "--learning_rate", "0.01", "--epochs", epochs, *flags)
    outcome = run("hln_tf.train", *arguments, *more)
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((path / "metrics.json").read_text())


@pytest.mark.slow
def test_it_ends_as_if_it_had_been_asked_for_them_at_first(data, tmp_path):
    _, once = train(data, tmp_path / "once", 3)
    first, _ = train(data, tmp_path / "twice", 1)
    outcome, twice = train(data, tmp_path / "twice", 3)
    assert "resuming epoch 2" in outcome.err
    assert "epoch 1:" in first.err and "epoch 1:" not in outcome.err
    for one, other in zip(once["history"], twice["history"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert once["test"] == pytest.approx(twice["test"], rel=1e-4)
    found, expected = (weights(tmp_path / name / "model") for name in ("twice", "once"))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert RunDirectory(tmp_path / "twice").config().training.epochs == 3
    assert "exported" in outcome.err  # anew
    again, _ = train(data, tmp_path / "twice", 3)
    assert "nothing to do" in again.err


@pytest.mark.slow
def test_a_refitted_one_selects_its_epoch_from_the_start(data, tmp_path):
    _, once = train(data, tmp_path / "once", 2, "--refit")
    train(data, tmp_path / "twice", 1, "--refit")
    outcome, twice = train(data, tmp_path / "twice", 2, "--refit")
    assert "training from the start" in outcome.err
    for one, other in zip(once["history"], twice["history"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert once["test"] == pytest.approx(twice["test"], rel=1e-4)


@pytest.mark.slow
def test_one_that_was_stopped_early_stays(trained, data, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    before = json.loads((tmp_path / "run" / "metrics.json").read_text())
    arguments = [tmp_path / "run" if each == trained.path else each for each in trained.arguments]
    arguments[arguments.index("--epochs") + 1] = "40"
    outcome = run("hln_tf.train", *arguments)
    assert outcome.code == 0, outcome.err
    after = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert after["history"] == before["history"]
    assert after["test"] == pytest.approx(before["test"], rel=1e-5)


def test_fewer_epochs_are_refused(trained):
    arguments = [*trained.arguments]
    arguments[arguments.index("--epochs") + 1] = "1"
    sentence = run("hln_tf.train", *arguments).sentence()
    assert "training.epochs = 30, not 1" in sentence and "--overwrite" in sentence
