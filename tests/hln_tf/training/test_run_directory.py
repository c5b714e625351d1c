"""Damaged, foreign, locked and unwritable directories."""

import contextlib
import json
import os
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from commands import TINY, finish, only_checkpoint, run, start, train, tree, weights
from damages import cut, edit, garbage

from hln_tf.common import files

DATA = "data-00000-of-00001"


class TestFinishedRun:
    COMMANDS = (("hln_tf.evaluate",), ("hln_tf.recommend", "--session", "i1"))

    def sentences(self, path):
        """Run each command and return its error."""
        for command, *flags in self.COMMANDS:
            outcome = run(command, "--workdir", path, *flags)
            assert outcome.out == ""
            yield outcome.sentence()

    @pytest.mark.parametrize("suffix", ["index", DATA])
    @pytest.mark.parametrize("damage", [cut, garbage])
    def test_damaged_weights(self, damaged, suffix, damage):
        newest = only_checkpoint(damaged / "model")
        damage(newest.with_suffix(f".{suffix}"))
        for sentence in self.sentences(damaged):
            assert f"{newest} is damaged" in sentence and "--workdir" in sentence

    def test_missing_weights(self, damaged):
        shutil.rmtree(damaged / "model")
        for sentence in self.sentences(damaged):
            assert f"{damaged} holds no trained model yet" in sentence
            assert "python -m hln_tf.train" in sentence

    @pytest.mark.parametrize("change", [{"hidden_dim": 9}, {"embedding_dim": 7}])
    def test_weights_of_other_settings(self, damaged, change):
        edit(
            damaged / "config.json",
            **{f"model_settings__{name}": size for name, size in change.items()},
        )
        for sentence in self.sentences(damaged):
            assert f"{only_checkpoint(damaged / 'model')} is damaged" in sentence
            assert "it must fit config.json" in sentence and "--workdir" in sentence

    @pytest.mark.parametrize(
        "changes, word",
        [
            ({"model_settings__hidden_dim": "x"}, "hidden_dim"),
            ({"model_settings__hidden_dim": -1}, "hidden_dim"),
            ({"model_settings": []}, ""),
            ({"training__learning_rate": None}, "learning_rate"),
            ({"training__rate": 1}, "rate"),
            ({"data__items": "x"}, "items"),
            ({"model": "gru"}, "gru"),
            ({"model": 5}, "5"),
            ({"training": None}, ""),
        ],
    )
    def test_config_of_other_content(self, damaged, changes, word):
        edit(damaged / "config.json", **changes)
        for sentence in self.sentences(damaged):
            assert str(damaged / "config.json") in sentence and word in sentence

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff"])
    def test_config_that_is_no_object(self, damaged, content):
        (damaged / "config.json").write_bytes(content)
        for sentence in self.sentences(damaged):
            assert str(damaged / "config.json") in sentence

    @pytest.mark.parametrize("damage", [cut, Path.unlink])
    def test_damaged_vocabulary(self, damaged, damage):
        damage(damaged / "vocabulary.txt")
        sentence = run("hln_tf.recommend", "--workdir", damaged, "--session", "i1").sentence()
        assert str(damaged / "vocabulary.txt") in sentence

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"test": 5}'])
    def test_damaged_metrics(self, damaged, trained, content):
        (damaged / "metrics.json").write_text(content)
        outcome = run("hln_tf.train", *trained.arguments, "--workdir", damaged)
        assert str(damaged / "metrics.json") in outcome.sentence()

    def test_no_run(self, tmp_path):
        for sentence in self.sentences(tmp_path / "none"):
            assert str(tmp_path / "none" / "config.json") in sentence
            assert "python -m hln_tf.train" in sentence
        assert not list(tmp_path.iterdir())


class TestUnfinishedRun:
    """The trained run as if it had been killed before its results were written."""

    @pytest.fixture
    def unfinished(self, damaged):
        (damaged / "metrics.json").unlink()
        return damaged

    def remedy(self, path, part):
        if part == "checkpoint":
            return f"remove {path}/checkpoint to train from the start"
        return "train again in another --workdir"

    @pytest.mark.parametrize(
        "part, damage, suffix",
        [
            ("checkpoint", cut, DATA),
            ("checkpoint", garbage, DATA),
            ("checkpoint", Path.unlink, "index"),
            ("model", cut, "index"),
        ],
    )
    def test_damaged_checkpoint_or_best_weights(self, unfinished, trained, part, damage, suffix):
        newest = only_checkpoint(unfinished / part)
        damage(newest.with_suffix(f".{suffix}"))
        before = tree(unfinished / "model")
        sentence = run("hln_tf.train", *trained.arguments, "--workdir", unfinished).sentence()
        assert f"{newest} is damaged" in sentence
        assert self.remedy(unfinished, part) in sentence
        assert tree(unfinished / "model") == before

    @pytest.mark.parametrize("part", ["checkpoint", "model"])
    def test_damaged_file_that_names_the_newest(self, unfinished, trained, part):
        (unfinished / part / "checkpoint").write_text("x")
        sentence = run("hln_tf.train", *trained.arguments, "--workdir", unfinished).sentence()
        assert f"{unfinished}/{part}/checkpoint is damaged" in sentence
        assert self.remedy(unfinished, part) in sentence

    def test_missing_best_weights(self, unfinished, trained):
        shutil.rmtree(unfinished / "model")
        sentence = run("hln_tf.train", *trained.arguments, "--workdir", unfinished).sentence()
        assert "has lost the weights of its best epoch" in sentence
        assert self.remedy(unfinished, "checkpoint") in sentence

    def test_the_results_are_written_again(self, unfinished, trained):
        outcome = run("hln_tf.train", *trained.arguments, "--workdir", unfinished)
        assert outcome.code == 0, outcome.err
        only_checkpoint(unfinished / "model")
        found, wanted = (weights(path / "model") for path in (unfinished, trained.path))
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
        metrics = json.loads((unfinished / "metrics.json").read_text())
        wanted = dict(trained.metrics)
        assert metrics.pop("timing") and wanted.pop("timing")
        assert metrics == wanted
        assert [entry.name for entry in (unfinished / "export").iterdir()] == ["1"]


LOCK = """
import os, sys, time
from hln_tf.training.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).locked():
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_workdir_in_use(data, tmp_path):
    holder = start(LOCK, tmp_path / "run")
    try:
        number = holder.stdout.readline().strip()
        sentence = train(data, tmp_path / "run", "--model", "popularity").sentence()
        assert f"{tmp_path / 'run'} is in use by process {number}" in sentence
        assert "--workdir" in sentence
        assert {entry.name for entry in (tmp_path / "run").iterdir()} == {".lock"}
    finally:
        holder.kill()
        finish(holder)
    assert train(data, tmp_path / "run", "--model", "popularity").code == 0


def test_directory_that_is_no_run(data, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    sentence = train(data, tmp_path).sentence()
    assert str(tmp_path) in sentence and "--workdir" in sentence
    assert {entry.name for entry in tmp_path.iterdir()} == {"thesis.txt"}


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_workdir_at_a_file(data, tmp_path, path):
    (tmp_path / "file").write_text("mine")
    assert str(tmp_path / path) in train(data, tmp_path / path).sentence()


@contextlib.contextmanager
def as_nobody():
    """Drop the rights of root, for whom nothing is read-only."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("command", ["begin", "go on"])
def test_read_only_workdir(data, popular, command):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copytree(data, directory / "data")
        shutil.copytree(popular.path, directory / "go on")
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            before = tree(directory)
            with as_nobody():
                outcome = train(directory / "data", directory / command, "--model", "popularity")
            sentence = outcome.sentence()
            assert str(directory / command) in sentence and "check the permissions" in sentence
            assert tree(directory) == before
        finally:
            for path in (directory, *directory.rglob("*")):
                path.chmod(0o755)


@contextlib.contextmanager
def file_size_limit(size):
    """Limit the size of files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_full_disk(data, tmp_path):
    """The vocabulary, a checkpoint, the export fail in turn; then there is room."""
    path = tmp_path / "run"
    flags = ("--model", "gru4rec", "--embedding_dim", "8", "--epochs", "1", "--batch_size", "64")
    for size, name in [(40, "vocabulary.txt"), (2000, "checkpoint/ckpt-1"), (20_000, "export")]:
        with file_size_limit(size):
            outcome = train(data, path, *flags)
        sentence = outcome.sentence()
        assert name in sentence and "File too large" in sentence
        assert "run the same command again" in sentence
        left = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
        assert not any(file.startswith("export/1/") or file.endswith(".tmp") for file in left)
        assert ("metrics.json" in left) == (name == "export")
    outcome = train(data, path, *flags)
    assert outcome.code == 0, outcome.err
    assert "exported" in outcome.err and (path / "export" / "1").is_dir()


def test_results_are_written_atomically(data, tmp_path, monkeypatch):
    original = files.write_json

    def on_a_full_disk(path, value):
        with file_size_limit(40 if path.name == "metrics.json" else resource.RLIM_INFINITY):
            original(path, value)

    monkeypatch.setattr(files, "write_json", on_a_full_disk)
    sentence = train(data, tmp_path, "--model", "popularity").sentence()
    assert f"{tmp_path / 'metrics.json'}: File too large" in sentence
    assert not [entry for entry in tmp_path.iterdir() if "metrics" in entry.name]


def test_diverging_loss(data, tmp_path):
    flags = ("--optimizer", "sgd", "--learning_rate", "1e9", "--batch_size", "16")
    sentence = train(data, tmp_path / "run", *TINY, *flags).sentence()
    assert "the loss is nan in epoch 1" in sentence
    assert "--learning_rate" in sentence and "--clip_norm" in sentence
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("directory", "found"), [("/a/b", "is no longer in /a/b"), ("", "was a table of clicks")]
)
def test_a_data_set_that_has_moved_is_asked_for(damaged, directory, found):
    config = json.loads((damaged / "config.json").read_text())
    config["data"]["directory"] = directory
    (damaged / "config.json").write_text(json.dumps(config))
    sentence = run("hln_tf.evaluate", "--workdir", damaged).sentence()
    assert sentence == (
        f"the data set of {damaged} {found}: name the directory of the same data set with "
        "--data_dir"
    )


class TestOverwrite:
    """A second try with other settings in the run directory of the first."""

    @pytest.fixture
    def finished(self, data, tmp_path):
        assert train(data, tmp_path / "run", "--model", "popularity").code == 0
        return tmp_path / "run"

    def test_a_run_with_results_is_replaced_if_asked_to(self, data, finished):
        (finished / "pictures").mkdir()
        sentence = train(data, finished, "--model", "markov").sentence()
        assert "choose another --workdir, or pass --overwrite to replace it" in sentence
        outcome = train(data, finished, "--model", "markov", "--overwrite")
        assert outcome.code == 0, outcome.err
        assert json.loads((finished / "metrics.json").read_text())["model"] == "markov"
        assert "exported" in outcome.err
        assert not (finished / "pictures").exists()

    def test_a_run_with_the_same_settings_stays(self, data, finished):
        before = tree(finished)
        outcome = train(data, finished, "--model", "popularity", "--overwrite")
        assert "nothing to do" in outcome.err
        assert tree(finished).keys() == before.keys()

    def test_a_run_that_has_saved_nothing_is_replaced_unasked(self, data, finished):
        """As one that failed in its first steps, by a learning rate too high."""
        (finished / "metrics.json").unlink()
        outcome = train(data, finished, "--model", "markov")
        assert outcome.code == 0, outcome.err
        assert json.loads((finished / "config.json").read_text())["model"] == "markov"

    def test_a_directory_of_other_files_is_never_replaced(self, data, tmp_path):
        (tmp_path / "thesis").touch()
        sentence = train(data, tmp_path, "--model", "markov", "--overwrite").sentence()
        assert "holds no run" in sentence and (tmp_path / "thesis").exists()

    def test_a_kill_while_a_run_is_replaced_leaves_one_that_is_replaced(
        self, data, finished, monkeypatch
    ):
        with monkeypatch.context() as patch:
            patch.setattr("hln_tf.training.run_directory.vocabulary_text", lambda ids: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                train(data, finished, "--model", "markov", "--overwrite")
        assert not (finished / "metrics.json").exists()
        assert train(data, finished, "--model", "markov").code == 0


@pytest.mark.slow
def test_a_lower_learning_rate_replaces_a_run_whose_loss_is_not_finite(data, tmp_path):
    flags = ("--model", "stamp", "--epochs", "1", "--batch_size", "16", "--optimizer", "sgd")
    failed = train(data, tmp_path / "run", *flags, "--learning_rate", "1e30")
    assert "lower --learning_rate" in failed.sentence()
    outcome = train(data, tmp_path / "run", *flags, "--learning_rate", "0.01")
    assert outcome.code == 0, outcome.err
