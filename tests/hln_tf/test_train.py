import dataclasses
import errno
import json
import re
import shlex
import shutil

import numpy as np
import pytest
from commands import TINY, only_checkpoint, run, tree, weights
from events import scalars
from toy import write_dataset

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.data.layout import SPLITS, Manifest
from hln_tf.models.registry import MODELS
from hln_tf.training.run_directory import RunDirectory, load_model
from hln_tf.training.run_flags import parse

KS = (5, 10, 20)
NAMES = [f"{metric}@{k}" for metric in ("recall", "mrr") for k in KS]


def test_a_run_leaves_what_its_directory_promises(trained, data):
    found = {entry.name for entry in trained.path.iterdir() if not entry.name.startswith(".")}
    assert found == {
        "checkpoint",
        "config.json",
        "events",
        "export",
        "metrics.json",
        "model",
        "vocabulary.txt",
    }
    assert (trained.path / "export" / "1" / "saved_model.pb").is_file()
    assert (trained.path / "vocabulary.txt").read_bytes() == (data / "vocabulary.txt").read_bytes()
    config = json.loads((trained.path / "config.json").read_text())
    assert config["model"] == "hln"
    assert config["model_settings"]["hidden_dim"] == 8
    assert config["training"]["learning_rate"] == 0.01
    assert config["data"]["items"] == 30


def test_a_finished_run_has_one_checkpoint_and_one_copy_of_the_weights(trained):
    checkpoint, weights_only = (only_checkpoint(trained.path / k) for k in ("checkpoint", "model"))
    assert re.fullmatch(r"ckpt-\d+", checkpoint.name)
    assert re.fullmatch(r"weights-\d+", weights_only.name)
    assert {*trained.path.rglob("*.index")} == {
        checkpoint.with_suffix(".index"),
        weights_only.with_suffix(".index"),
        trained.path / "export/1/variables/variables.index",
    }


def test_validation_ranks_after_every_epoch(trained):
    history = trained.metrics["history"]
    assert all(set(entry) == {"loss", "learning_rate", *NAMES} for entry in history)
    lines = re.findall(
        r"^epoch (\d+): loss .*recall@20.*mrr@20 ([\d.]+) %", trained.outcome.err, re.M
    )
    assert lines == [
        (str(epoch), f"{100 * entry['mrr@20']:.2f}") for epoch, entry in enumerate(history, start=1)
    ]


def test_training_learns(trained):
    history = trained.metrics["history"]
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert trained.metrics["test"]["mrr@20"] > 0.3


def test_learning_rate_decays_in_steps(trained):
    rates = [entry["learning_rate"] for entry in trained.metrics["history"]]
    assert rates == pytest.approx([0.01 * 0.3 ** (epoch // 2) for epoch in range(len(rates))])


def test_validation_chooses_the_epoch_and_patience_ends_the_training(trained):
    metrics = trained.metrics
    of_epochs = [entry["mrr@20"] for entry in metrics["history"]]
    best = int(np.argmax(of_epochs))
    assert len(of_epochs) < 30
    assert metrics["best_epoch"] == best + 1
    assert len(of_epochs) == best + 1 + 1
    assert metrics["validation"] == {name: metrics["history"][best][name] for name in NAMES}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluate_finds_the_metrics_of_the_training(trained, split, splits):
    outcome = run("hln_tf.evaluate", "--workdir", trained.path, "--split", split)
    assert outcome.code == 0
    prefixes = sum(len(session) - 1 for session in splits[split])
    first, *rest = outcome.out.splitlines()
    assert first == f"{split}: {prefixes} prefixes, 30 items"
    groups = [re.fullmatch(r"group (\d)\D+([\d.]+) %.*", line) for line in rest[12:]]
    assert [int(group[1]) for group in groups] == [1, 2]
    assert all(0 < float(group[2]) < 100 for group in groups)
    found = {name: value for name, value, _ in map(str.split, rest[:6])}
    assert [line.split()[0] for line in rest[6:12:3]] == ["ndcg@5", "precision@5"]
    assert found == {name: f"{100 * trained.metrics[split][name]:.2f}" for name in NAMES}


def test_the_model_has_the_best_weights_not_the_last(trained):
    """Those of the best epoch have its validation metrics, as `evaluate` finds them above."""
    chosen = load_model(trained.path).X.numpy()
    name = "model/X/.ATTRIBUTES/VARIABLE_VALUE"
    best, last = (weights(trained.path / part)[name] for part in ("model", "checkpoint"))
    np.testing.assert_array_equal(chosen, best)
    assert np.abs(chosen - last).max() > 0


def test_tensorboard_reads_the_events(trained):
    found = scalars(trained.path / "events" / "selection")
    history = trained.metrics["history"]
    for name in history[0]:
        expected = [(epoch, entry[name]) for epoch, entry in enumerate(history, start=1)]
        steps, values = zip(*found[f"epoch/{name}"], strict=True)
        assert list(steps) == [step for step, _ in expected]
        assert values == pytest.approx([value for _, value in expected], rel=1e-6)
    steps_in_an_epoch = sum(len(range(1 + s % 5)) for s in range(120)) // 3
    assert [step for step, _ in found["loss"]] == [
        epoch * steps_in_an_epoch + step
        for epoch in range(len(history))
        for step in (100, steps_in_an_epoch)
    ]


def test_second_start_does_nothing(trained):
    before = tree(trained.path)
    outcome = run("hln_tf.train", *trained.arguments)
    assert outcome.code == 0
    assert outcome.err == f"{trained.path} is finished, nothing to do\n"
    assert outcome.out == trained.outcome.out
    assert tree(trained.path).keys() == before.keys()
    assert all(tree(trained.path)[name] == before[name] for name in before if name != ".lock")


@pytest.mark.parametrize(
    "change, named",
    [
        (["--learning_rate", "0.02"], "training.learning_rate = 0.01, not 0.02"),
        (["--num_groups", "3"], "model_settings.num_groups = 2, not 3"),
        (["--refit"], "training.refit = False, not True"),
        (["--seed", "2"], "training.seed = 1, not 2"),
    ],
)
def test_other_settings_in_the_same_workdir_are_refused(trained, change, named):
    sentence = run("hln_tf.train", *trained.arguments, *change).sentence()
    assert named in sentence
    assert str(trained.path) in sentence and "--workdir" in sentence


def test_other_model_in_the_same_workdir_is_refused(popular):
    arguments = [argument for argument in popular.arguments if argument != "popularity"]
    sentence = run("hln_tf.train", *arguments, "markov").sentence()
    assert "model = 'popularity', not 'markov'" in sentence


def test_other_data_in_the_same_workdir_are_refused(popular, tmp_path):
    write_dataset(tmp_path, {split: [[1, 2]] for split in SPLITS}, num_items=2)
    sentence = run("hln_tf.train", *popular.arguments, "--data_dir", tmp_path).sentence()
    assert "data.items = 30, not 2" in sentence


def test_another_part_of_the_same_log_in_the_same_workdir_is_refused(popular, data, tmp_path):
    """Every fraction of a log has the same items: what differs is the sessions."""
    manifest = Manifest.read(data)
    shutil.copytree(data, tmp_path / "data")
    settings = {**manifest.settings, "train_fraction": "1/4"}
    dataclasses.replace(manifest, settings=settings).write(tmp_path / "data")
    sentence = run("hln_tf.train", *popular.arguments, "--data_dir", tmp_path / "data").sentence()
    assert str(data) in sentence and "other settings" in sentence


def test_minutes_between_checkpoints_may_change(trained):
    assert run("hln_tf.train", *trained.arguments, "--checkpoint_minutes", "0").code == 0


@pytest.mark.slow
def test_refit_trains_a_new_model_on_full_train(data, splits, tmp_path, monkeypatch):
    import hln_tf.training.run
    import hln_tf.training.trainer

    ranked = []
    for module in (hln_tf.training.run, hln_tf.training.trainer):
        original = module.evaluate

        def spy(model, prefixes, batch_size, label, stop, original=original):
            ranked.append(label)
            return original(model, prefixes, batch_size, label, stop)

        monkeypatch.setattr(module, "evaluate", spy)
    arguments = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run", *TINY)
    outcome = run("hln_tf.train", *arguments, "--refit", "--epochs", "2", "--batch_size", "16")
    assert outcome.code == 0, outcome.err
    metrics = files.read_json(tmp_path / "run" / "metrics.json", "")
    assert ranked == ["validation", "validation", "test"]
    assert metrics["trained_on"] == "train+validation"
    assert "train+validation" in outcome.out
    assert len(metrics["refit_history"]) == metrics["best_epoch"]
    assert re.findall(r"^refit epoch (\d+): loss", outcome.err, re.M) == [
        str(epoch) for epoch in range(1, metrics["best_epoch"] + 1)
    ]
    assert metrics["validation"] == {
        name: metrics["history"][metrics["best_epoch"] - 1][name] for name in NAMES
    }
    counts = np.bincount(np.concatenate(splits["train"] + splits["validation"]), minlength=31)[1:]
    np.testing.assert_array_equal(load_model(tmp_path / "run").item_counts, counts)
    assert "epoch/loss" in scalars(tmp_path / "run" / "events" / "refit")
    evaluated = run("hln_tf.evaluate", "--workdir", tmp_path / "run").out
    assert f"{100 * metrics['test']['mrr@20']:.2f} %" in evaluated


class TestFailedExport:
    """The run is finished, and the export can be repeated in two ways."""

    @pytest.fixture(params=[HlnError("no room"), OSError(errno.ENOSPC, "no room", "model.pb")])
    def failed(self, data, tmp_path, monkeypatch, request):
        def export(*arguments, **options):
            raise request.param

        arguments = ("--dataset", "sample", "--data_dir", data, "--model", "popularity")
        with monkeypatch.context() as patch:
            patch.setattr("hln_tf.recommender.Recommender.export", export)
            arguments = (*arguments, "--workdir", tmp_path / "run")
            return tmp_path / "run", arguments, run("hln_tf.train", *arguments)

    def test_it_is_one_sentence_about_a_finished_run(self, failed):
        path, _, outcome = failed
        sentence = outcome.sentence()
        assert f"the run in {path} is finished" in sentence and "no room" in sentence
        again = f"python -m serving.export --workdir {path} --output {path / 'export'}"
        assert again in sentence
        assert files.read_json(path / "metrics.json", "")["test"]["prefixes"] > 0
        assert not (path / "export" / "1").exists()

    def test_the_same_command_exports(self, failed):
        path, arguments, _ = failed
        results = (path / "metrics.json").read_bytes()
        outcome = run("hln_tf.train", *arguments)
        assert outcome.code == 0, outcome.err
        assert f"exported {path / 'export' / '1'}" in outcome.err
        assert "nothing to do" not in outcome.err
        assert (path / "export" / "1" / "saved_model.pb").is_file()
        assert (path / "metrics.json").read_bytes() == results

    def test_the_command_in_the_sentence_exports(self, failed):
        path, arguments, outcome = failed
        again = shlex.split(outcome.sentence().partition("python -m ")[2])
        assert run(*again).code == 0
        assert (path / "export" / "1" / "saved_model.pb").is_file()
        assert "nothing to do" in run("hln_tf.train", *arguments).err


@pytest.mark.parametrize("model", ["popularity", "markov"])
def test_models_that_count(data, splits, tmp_path, model):
    arguments = ("--dataset", "sample", "--data_dir", data, "--model", model)
    outcome = run("hln_tf.train", *arguments, "--workdir", tmp_path / "run", "--refit")
    assert outcome.code == 0, outcome.err
    metrics = files.read_json(tmp_path / "run" / "metrics.json", "")
    assert metrics["model"] == model
    assert set(metrics["validation"]) == set(NAMES)
    assert metrics["test"].keys() == {*NAMES, "prefixes"}
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
    counts = np.bincount(np.concatenate(splits["train"] + splits["validation"]), minlength=31)[1:]
    np.testing.assert_array_equal(load_model(tmp_path / "run").item_counts, counts)
    again = run("hln_tf.train", *arguments, "--workdir", tmp_path / "run", "--refit")
    assert "nothing to do" in again.err


@pytest.mark.parametrize(
    "model, preset", [(name, preset) for name, entry in MODELS.items() for preset in entry.presets]
)
def test_every_preset_parses(model, preset):
    arguments = ["--dataset", "sample", "--model", model, "--preset", preset]
    _, model_settings, training = parse(arguments, "train", "")
    chosen = {**vars(model_settings), **vars(training)}
    declared = MODELS[model].presets[preset]
    assert {name: chosen[name] for name in declared} == declared


def test_flags_override_the_preset():
    arguments = ["--dataset", "sample", "--preset", "paper_eq8", "--loss", "softmax"]
    assert parse(arguments, "train", "")[2].loss == "softmax"


class TestInitFrom:
    """Items i1 ... i30 of the older run; the newer data set has i11 ... i40, in another order."""

    @pytest.fixture
    def newer(self, tmp_path, splits):
        directory = tmp_path / "newer"
        write_dataset(directory, splits, 30)
        item_ids = [f"i{number}" for number in range(40, 10, -1)]
        (directory / "vocabulary.txt").write_text("".join(f"{item_id}\n" for item_id in item_ids))
        manifest = json.loads((directory / "manifest.json").read_text())
        manifest["vocabulary_sha256"] = files.sha256(directory / "vocabulary.txt")
        files.write_json(directory / "manifest.json", manifest)
        return directory

    def arguments(self, newer, tmp_path, *more):
        where = ("--dataset", "sample", "--data_dir", newer, "--workdir", tmp_path / "run")
        return (*where, "--epochs", "1", "--batch_size", "64", *more)

    def test_item_embeddings_follow_the_item_ids(self, trained, newer, tmp_path):
        # With so small a learning rate the weights remain the initial ones.
        more = (*TINY, "--learning_rate", "1e-12", "--init_from", trained.path)
        outcome = run("hln_tf.train", *self.arguments(newer, tmp_path, *more))
        assert outcome.code == 0, outcome.err
        old, new = load_model(trained.path), load_model(tmp_path / "run")
        old_ids = RunDirectory(trained.path).vocabulary()
        new_ids = RunDirectory(tmp_path / "run").vocabulary()
        shared = sorted({*old_ids} & {*new_ids})
        assert len(shared) == 20
        np.testing.assert_allclose(
            new.X.numpy()[[new_ids.index(item_id) for item_id in shared]],
            old.X.numpy()[[old_ids.index(item_id) for item_id in shared]],
            atol=1e-6,
        )
        unseen = [row for row, item_id in enumerate(new_ids) if item_id not in old_ids]
        fresh = new.X.numpy()[unseen]
        differences = np.abs(fresh[:, None] - old.X.numpy()[None]).max(axis=2)
        assert differences.min() > 1e-3
        assert np.abs(fresh).max() <= 8**-0.5
        for weight, old_weight in zip(
            new.trainable_variables, old.trainable_variables, strict=True
        ):
            if weight is not new.X:
                np.testing.assert_allclose(weight, old_weight, atol=1e-6)

    @pytest.mark.parametrize(
        "more, code, words",
        [
            ((*TINY, "--hidden_dim", "9"), 2, ("hidden_dim 8, not 9", "give the same hidden_dim")),
            ((*TINY, "--aggregation", "attention"), 2, ("aggregation 'sum', not 'attention'",)),
            (("--model", "stamp"), 2, ("the model hln, not stamp",)),
            (("--model", "markov"), 2, ("markov", "no weights")),
        ],
    )
    def test_other_model_is_refused(self, trained, newer, tmp_path, more, code, words):
        if "--model" in more:
            arguments = ("--dataset", "sample", "--data_dir", newer, "--workdir", tmp_path / "run")
        else:
            arguments = self.arguments(newer, tmp_path)
        outcome = run("hln_tf.train", *arguments, *more, "--init_from", trained.path)
        sentence = outcome.sentence(code)
        assert "--init_from" in sentence
        assert all(word in sentence for word in words)
        assert not (tmp_path / "run" / "config.json").exists()

    def test_settings_that_no_weight_needs_may_differ(self, trained, newer, tmp_path):
        different = ("--dropout", "0.2", "--temperature", "0.5", "--num_groups", "3")
        more = (*TINY, *different, "--learning_rate", "1e-12", "--init_from", trained.path)
        outcome = run("hln_tf.train", *self.arguments(newer, tmp_path, *more))
        assert outcome.code == 0, outcome.err
        old, new = load_model(trained.path), load_model(tmp_path / "run")
        assert (new.settings.num_groups, new.settings.dropout) == (3, 0.2)
        for weight, old_weight in zip(
            new.trainable_variables, old.trainable_variables, strict=True
        ):
            if weight is not new.X:
                np.testing.assert_allclose(weight, old_weight, atol=1e-6)

    def test_missing_run_is_refused(self, newer, tmp_path):
        more = (*TINY, "--init_from", tmp_path / "none")
        sentence = run("hln_tf.train", *self.arguments(newer, tmp_path, *more)).sentence()
        assert str(tmp_path / "none") in sentence
        assert not (tmp_path / "run" / "config.json").exists()
