"""`--config`: a run's settings from a file, below the flags."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from commands import run

from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.run_flags import parse


@pytest.fixture
def write(tmp_path):
    def write(values):
        path = tmp_path / "config.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return str(path)

    return write


def test_a_runs_own_config_gives_its_settings_and_data(trained, data):
    config = RunDirectory(trained.path).config()
    path = str(trained.path / "config.json")
    flags, model_settings, training = parse(["--config", path], "train", None)
    assert (flags.model, model_settings, training) == (
        "hln",
        config.model_settings,
        config.training,
    )
    assert (flags.dataset, flags.data_dir) == ("sample", data)


def test_flags_override_the_file_and_a_named_data_set_its_directory(trained):
    path = str(trained.path / "config.json")
    given = ["--config", path, "--dataset", "lastfm", "--epochs", "2", "--num_groups", "1"]
    flags, model_settings, training = parse(given, "train", None)
    assert (flags.dataset, flags.data_dir) == ("lastfm", None)
    assert (training.epochs, model_settings.num_groups) == (2, 1)
    assert training.learning_rate == 0.01, "as in the file"


def test_what_the_file_leaves_out_has_its_default(write):
    path = write({"training": {"epochs": 3}})
    _, model_settings, training = parse(["--config", path, "--dataset", "sample"], "train", None)
    assert training.epochs == 3 and training.learning_rate == 0.001
    assert model_settings.num_groups == 3


def test_an_unknown_data_set_in_the_file_does_not_matter_where_another_is_named(write):
    path = write({"data": {"dataset": "movies"}})
    assert parse(["--config", path, "--dataset", "sample"], "train", None)[0].dataset == "sample"


def test_the_config_of_a_counting_model(popular):
    flags, *_ = parse(["--config", str(popular.path / "config.json")], "train", None)
    assert flags.model == "popularity"


def test_a_run_that_started_from_another_does_so_again(write):
    path = write({"init_from": "runs/older", "data": {"dataset": "sample"}})
    flags, *_ = parse(["--config", path], "train", None)
    assert flags.init_from == Path("runs/older")


def test_a_run_whose_epoch_another_chose_has_it_again(write):
    selection = {"run": "runs/1", "epoch": 3}
    path = write({"selection": selection, "data": {"dataset": "sample"}})
    flags, *_ = parse(["--config", path, "--seed", "7", "--epochs", "9"], "train", None)
    assert dataclasses.asdict(flags.stored_selection) == selection
    assert flags.changed_since is None
    flags, *_ = parse(["--config", path, "--num_groups", "5"], "train", None)
    assert flags.changed_since == "num_groups 3, not 5"


@pytest.mark.parametrize("selection", [{"run": "runs/1"}, {"run": "a", "epoch": 0}, "runs/1"])
def test_a_damaged_selection_is_refused(write, selection):
    path = write({"selection": selection, "data": {"dataset": "sample"}})
    with pytest.raises(HlnError, match=re.escape(str(path))):
        parse(["--config", path], "train", None)


def test_a_finished_run_is_known_by_its_own_config(trained):
    outcome = run(
        "hln_tf.train", "--config", trained.path / "config.json", "--workdir", trained.path
    )
    assert outcome.code == 0 and "is finished" in outcome.err


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"training": {"wings": 2}}, ("'wings'", "learning_rate")),
        ({"model_settings": {"epochs": 2}}, ("'epochs'", "num_groups")),
        ({"wings": 2}, ("'wings'", "training")),
        ({"training": {"epochs": 0}}, (" epochs is 0", "at least 1")),
        ({"training": {"epochs": "3"}}, (" epochs is '3'", "int")),
        ({"data": {"dataset": "movies"}}, ("'movies'", "--dataset")),
        ({"data": {"wings": 1}}, ("'wings'", "dataset")),
        ({"model": "gru"}, ("'gru'", "hln")),
        ([1, 2], ("not a run's config",)),
        ({"training": 3}, ("not a run's config",)),
        ("{", ("not valid JSON",)),
    ],
)
def test_bad_files(write, values, words):
    path = write(values)
    sentence = run("hln_tf.train", "--config", path).sentence()
    assert all(word in sentence for word in (path, *words)), sentence


def test_a_missing_file(tmp_path):
    sentence = run("hln_tf.train", "--config", tmp_path / "no.json").sentence()
    assert "no.json does not exist" in sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--model", "markov"], ("--model is markov", "settings of hln")),
        (["--preset", "demo"], ("--preset", "--config", "give one")),
    ],
)
def test_flags_that_contradict_the_file(trained, more, words):
    sentence = run("hln_tf.train", "--config", trained.path / "config.json", *more).sentence(2)
    assert all(word in sentence for word in words), sentence
