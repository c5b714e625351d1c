"""What a training says of itself: a slow loss, an early end, a profile that was cut short."""

import contextlib
import io
import threading
from importlib import import_module

import pytest
from commands import run

from hln_tf.common import cli
from hln_tf.training.profile import Profile


def train(data, path, *flags):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    outcome = run("hln_tf.train", *where, "--model", "stamp", "--epochs", "1", *flags)
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_training_that_stops_early_says_so(trained):
    best = trained.metrics["best_epoch"]
    assert "stopped early: no better validation MRR@20 in 1 epochs" in trained.outcome.err
    assert f"(--patience); the best is epoch {best}\n" in trained.outcome.err


@pytest.mark.slow
def test_a_large_catalogue_under_the_full_softmax_gets_a_hint(data, tmp_path, monkeypatch):
    hint = "--loss sampled"
    assert hint not in train(data, tmp_path / "small").err
    monkeypatch.setattr("hln_tf.training.run.LARGE_CATALOGUE", 30)
    assert hint in train(data, tmp_path / "large").err
    sampled = ("--loss", "sampled", "--num_negatives", "8")
    assert hint not in train(data, tmp_path / "sampled", *sampled).err


@pytest.mark.parametrize(
    ("steps", "taken", "words"),
    [
        ((11, 20), 4, "nothing was profiled: --profile_steps names the steps 11 to 20 of this "),
        ((2, 9), 4, "3 of 8 steps were profiled: --profile_steps names the steps 2 to 9 of this "),
        ((2, 4), 4, ""),
        (None, 4, ""),
    ],
)
def test_a_profile_past_the_end_says_so(tmp_path, monkeypatch, capsys, steps, taken, words):
    for name in ("start", "stop"):
        monkeypatch.setattr(f"tensorflow.profiler.experimental.{name}", lambda *arguments: None)
    profile = Profile(tmp_path, steps)
    profile.begin()
    for _ in range(taken):
        profile.stepped(1)
    profile.close()
    found = [line for line in capsys.readouterr().err.splitlines() if "--profile_steps" in line]
    assert bool(found) == bool(words)
    if words:
        assert found[0].startswith(words) and found[0].endswith(f"which took {taken}")


def in_a_thread(module, *arguments):
    """Run a command in a thread other than the main one; return its exit code and output."""
    found, out = [], io.StringIO()
    main = import_module(module).main

    def work():
        found.append(cli.run(main, [str(argument) for argument in arguments]))

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [0], out.getvalue()
    return out.getvalue()


def test_commands_work_in_another_thread(data, tmp_path):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run")
    assert "mrr@20" in in_a_thread("hln_tf.train", *where, "--model", "popularity")
    assert "mrr@20" in in_a_thread("hln_tf.evaluate", "--workdir", tmp_path / "run")
    call = ("--workdir", tmp_path / "run", "--session", "i1")
    assert "  1  i" in in_a_thread("hln_tf.recommend", *call)
