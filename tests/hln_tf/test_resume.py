import os
import re
import signal
import time

import numpy as np
import pytest
from commands import (
    TINY,
    checkpoint_number,
    finish,
    only_checkpoint,
    run,
    signal_when_saved,
    start,
    weights,
)

from hln_tf.common import files

# Kills itself when the steps of an epoch are done and saved, before the epoch's validation.
KILLED_BETWEEN_EPOCHS = """
import os, signal, sys
from hln_tf import train
from hln_tf.common import cli
from hln_tf.training import trainer
original, calls = trainer.evaluate, []
def evaluate(model, prefixes, batch_size, label, stop):
    calls.append(label)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(model, prefixes, batch_size, label, stop)
trainer.evaluate = evaluate
sys.exit(cli.run(train.main))
"""

# Kills itself in the refit after five steps, of which none is saved.
KILLED_BEFORE_THE_REFIT_IS_SAVED = """
import itertools, os, signal, sys
from hln_tf import train
from hln_tf.common import cli
from hln_tf.training.run import Run
original = Run.refit
def refit(self, sessions, fitted):
    checks = itertools.count(1)
    def check():
        if next(checks) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    self.stop.check = check
    return original(self, sessions, fitted)
Run.refit = refit
sys.exit(cli.run(train.main))
"""


def arguments(data, path, *more):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    settings = ("--batch_size", "16", "--epochs", "3", "--checkpoint_minutes", "0", *more)
    return (*where, *TINY, *settings)


def kill_when_saved(process, directory, number):
    """Kill a process once the newest checkpoint has a number; fail if it ends before."""
    while checkpoint_number(directory) < number:
        if process.poll() is not None:
            raise AssertionError(finish(process).err)
        time.sleep(0.005)
    time.sleep(0.04)
    process.kill()
    outcome = finish(process)
    assert outcome.code == -signal.SIGKILL
    return outcome


def assert_equal_runs(killed, whole):
    """Check that metrics, weights and the optimiser are equal bit for bit."""
    found, wanted = (files.read_json(path / "metrics.json", "") for path in (killed, whole))
    assert found.pop("timing").keys() == wanted.pop("timing").keys()
    assert found == wanted
    for part in ("model", "checkpoint"):
        only_checkpoint(killed / part)
        found, wanted = (weights(path / part) for path in (killed, whole))
        assert found.keys() == wanted.keys()
        assert len(found) > 5
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(data, tmp_path):
    flags = ("--deterministic", "--refit")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    checkpoints = killed / "checkpoint"
    uninterrupted = start("hln_tf.train", *arguments(data, whole, *flags))

    # Checkpoints are some steps apart here, so the steps since the last one are repeated.
    apart = (*flags, "--checkpoint_minutes", "0.001")
    process = start("hln_tf.train", *arguments(data, killed, *apart))
    kill_when_saved(process, checkpoints, 2)

    outcome = finish(start(KILLED_BETWEEN_EPOCHS, *arguments(data, killed, *flags)))
    assert outcome.code == -signal.SIGKILL
    assert re.search(r"^resuming epoch [123] after step \d+$", outcome.err, re.M), outcome.err

    seldom = (*flags, "--checkpoint_minutes", "60")
    code = KILLED_BEFORE_THE_REFIT_IS_SAVED
    outcome = finish(start(code, *arguments(data, killed, *seldom)))
    assert outcome.code == -signal.SIGKILL
    assert re.search(r"^resuming epoch [23] after step 23$", outcome.err, re.M), outcome.err
    assert "refit epoch 1/" in outcome.err

    process = start("hln_tf.train", *arguments(data, killed, *flags))
    outcome = kill_when_saved(process, checkpoints, checkpoint_number(checkpoints) + 7)
    assert "resuming" not in outcome.err and "refit epoch 1/" in outcome.err, outcome.err

    outcome = finish(start("hln_tf.train", *arguments(data, killed, *flags)))
    assert outcome.code == 0, outcome.err
    assert re.search(r"^resuming refit epoch 1 after step \d+$", outcome.err, re.M), outcome.err

    expected = finish(uninterrupted)
    assert expected.code == 0, expected.err
    assert_equal_runs(killed, whole)


@pytest.mark.slow
def test_programs_of_xla_killed_and_resumed_equal_uninterrupted(data, tmp_path):
    flags = ("--deterministic", "--execution", "xla", "--batch_size", "40")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start("hln_tf.train", *arguments(data, killed, *flags))
    kill_when_saved(process, killed / "checkpoint", 3)
    several = (*flags, "--steps_per_execution", "3")
    uninterrupted = start("hln_tf.train", *arguments(data, whole, *several))
    outcome = finish(start("hln_tf.train", *arguments(data, killed, *several)))
    assert outcome.code == 0 and "resuming epoch" in outcome.err, outcome.err
    assert "XLA compiles 2 programs at most" in outcome.err
    assert finish(uninterrupted).code == 0
    assert_equal_runs(killed, whole)


@pytest.mark.slow
def test_signals_save_and_stop_in_one_sentence(data, tmp_path):
    path = tmp_path / "run"
    checkpoints = path / "checkpoint"
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        thread = signal_when_saved(checkpoints, checkpoint_number(checkpoints) + 3, signal_number)
        outcome = run("hln_tf.train", *arguments(data, path, "--num_groups", "1"))
        thread.join()
        assert outcome.code == 128 + signal_number
        name = signal_number.name
        assert outcome.err.splitlines()[-1].startswith(f"stopped by {name}; run the same command")
        assert not (path / "metrics.json").exists()
        sentence = run("hln_tf.evaluate", "--workdir", path).sentence()
        assert f"{path} holds no trained model yet" in sentence
        assert checkpoint_number(checkpoints) >= 4
    outcome = run("hln_tf.train", *arguments(data, path, "--num_groups", "1"))
    assert outcome.code == 0
    assert re.search(r"^resuming epoch \d after step \d+$", outcome.err, re.M)
    assert len(files.read_json(path / "metrics.json", "")["history"]) == 3


def test_interrupted_evaluation_is_one_sentence(popular, monkeypatch):
    import hln_tf.training.ranking

    original = hln_tf.training.ranking.progress_bar

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(hln_tf.training.ranking, "progress_bar", interrupted)
    outcome = run("hln_tf.evaluate", "--workdir", popular.path)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1].startswith("stopped by SIGINT")


@pytest.mark.parametrize("left", [[".lock"], [".lock", "vocabulary.txt", ".config.json.x.tmp"]])
def test_run_killed_while_it_began_begins_anew(data, tmp_path, left):
    path = tmp_path / "run"
    path.mkdir()
    for name in left:
        (path / name).write_text("half")
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    assert run("hln_tf.train", *where, "--model", "popularity").code == 0
