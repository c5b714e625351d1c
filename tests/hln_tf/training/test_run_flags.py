"""Flags and their errors, which come before any work starts."""

import dataclasses
import itertools
import re

import pytest
from commands import finish, run, start

from hln_tf.common.errors import UsageError
from hln_tf.models.registry import MODELS
from hln_tf.training.run_flags import parse


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model", "gru"], ("--model", "'gru'", *MODELS)),
        (["--model", "markov", "--hidden_dim", "8"], ("--hidden_dim",)),
        (["--model", "popularity", "--epochs", "2"], ("--epochs",)),
        (["--model", "popularity", "--preset", "tuned"], ("--preset", "'tuned'", "paper")),
        (["--preset", "other"], ("--preset", "'other'", "paper", "demo")),
        (["--hiden_dim", "8"], ("--hiden_dim",)),
        (["--hidden", "8"], ("--hidden",)),
        (["--hidden_dim", "0"], ("--hidden_dim is 0", "at least 1")),
        (["--hidden_dim", "8.5"], ("--hidden_dim", "'8.5'")),
        (["--hidden_dim"], ("--hidden_dim",)),
        (["--batch_size", "-1"], ("--batch_size is -1", "at least 1")),
        (["--batch_size", "1" + "0" * 20], ("--batch_size", "at most 1000000")),
        (["--max_length", "1" + "0" * 20], ("--max_length", "at most 1000000")),
        (["--embedding_dim", "1" + "0" * 20], ("--embedding_dim", "at most 1000000")),
        (["--epochs", "0"], ("--epochs is 0", "at least 1")),
        (["--seed", "-1"], ("--seed is -1", "at least 0")),
        (["--seed", str(2**32)], (f"--seed is {2**32}", f"at most {2**32 - 1}")),
        (["--learning_rate", "0"], ("--learning_rate is 0.0", "more than 0")),
        (["--learning_rate", "nan"], ("--learning_rate is nan",)),
        (["--learning_rate", "inf"], ("--learning_rate is inf",)),
        (["--momentum", "1"], ("--momentum is 1.0", "below 1")),
        (["--decay", "1.5"], ("--decay is 1.5", "at most 1")),
        (["--temperature", "0"], ("--temperature is 0.0", "at least 0.01")),
        (["--loss", "hinge"], ("--loss", "'hinge'", "softmax", "equation_8")),
        (
            ["--loss", "bpr", "--label_smoothing", "0.1"],
            ("--label_smoothing is 0.1, expected 0.0 with the loss bpr",),
        ),
        (["--loss", "bpr", "--repeat_head"], ("--repeat_head is True, expected False",)),
        (["--inference_gate", "x"], ("--inference_gate", "'x'", "hard", "expected", "sampled")),
        (["--optimizer", "x"], ("--optimizer", "'x'", "adam", "sgd")),
        (["--dataset", "movies"], ("--dataset", "'movies'", "yoochoose64", "lastfm")),
    ],
)
def test_bad_flag_is_a_usage_error(tmp_path, data, flags, words):
    where = ["--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run"]
    sentence = run("hln_tf.train", *where, *flags).sentence(2)
    assert all(word in sentence for word in words), sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "module", ["train", "evaluate", "recommend", "report"], ids=lambda module: module
)
def test_missing_flags_are_a_usage_error(module):
    assert "--help" in run(f"hln_tf.{module}").sentence(2)


def test_help_and_usage_errors_do_not_wait_for_tensorflow():
    code = """
import contextlib, io, sys
from hln_tf import evaluate, recommend, report, train
from hln_tf.common import cli
for command in (evaluate, recommend, report, train):
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        cli.run(command.main, ["--help"])
    assert "usage:" in text.getvalue()
    assert cli.run(command.main, ["--unknown"]) == 2
assert "tensorflow" not in sys.modules
"""
    outcome = finish(start(code))
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("error: ") == len(outcome.err.splitlines()) == 4


OF_ENCODERS = ("embedding_dim", "normalize", "scale", "dropout", "last_click", "repeat_head")
OWN_FLAGS = {
    "hln": (
        *(*OF_ENCODERS, "hidden_dim", "num_groups", "aggregation", "temperature", "leap_bias"),
        *("preference_dropout", "gates", "inference_gate"),
        *("leap_gate", "leap_threshold", "leap_slope", "exclusive_groups"),
    ),
    "s_pop": ("top_items",),
    "sknn": ("sample_size", "neighbors"),
    "bpr_mf": OF_ENCODERS,
    "fpmc": OF_ENCODERS,
    "gru4rec": (*OF_ENCODERS, "tied", "hidden_dropout"),
    "stamp": (*OF_ENCODERS, "max_norm"),
    "sr_gnn": (*OF_ENCODERS, "propagations"),
    "narm": (*OF_ENCODERS, "hidden_dim", "hidden_dropout"),
    "csrm": (*OF_ENCODERS, "hidden_dim", "hidden_dropout", "memory_size", "neighbors"),
    "sasrec": (*OF_ENCODERS, "hidden_dropout", "num_blocks", "num_heads", "positions"),
    "niser": (*OF_ENCODERS, "propagations", "positions"),
    "v_sknn": ("sample_size", "neighbors", "weighting", "score_weighting", "idf_weight"),
    "stan": ("sample_size", "neighbors", "click_decay", "session_decay", "item_decay"),
    "association_rules": (),
    "sequential_rules": ("window", "weighting"),
    "popularity": (),
    "markov": ("window", "weighting", "last_clicks", "repeat_prior"),
}


def own_flags(model):
    """Return a model's own flags, for a model that is not listed here those of its settings."""
    fields = dataclasses.fields(MODELS[model].settings)
    return OWN_FLAGS.get(model, tuple(field.name for field in fields))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_lists_its_own_flags_in_help(model, capsys):
    from hln_tf.train import main

    with pytest.raises(SystemExit):
        main(["--model", model, "--help"])
    text = capsys.readouterr().out
    assert "named settings" in text and "--refit" in text
    # Where the model has no such setting, the flag is the protocol's.
    for flag in {*itertools.chain(*OWN_FLAGS.values())} - {"top_items"}:
        is_listed = re.search(rf"^  --{flag}\b", text, re.MULTILINE) is not None
        assert is_listed == (flag in own_flags(model)), flag


@pytest.mark.parametrize("model", MODELS)
def test_a_flag_that_the_model_does_not_have_is_an_error_that_names_its_own(model):
    foreign = "--num_groups" if "propagations" in OWN_FLAGS[model] else "--propagations"
    with pytest.raises(UsageError, match=f"arguments: {foreign} 2; ") as error:
        parse(["--dataset", "sample", "--model", model, foreign, "2"], "train", None)
    of_model = str(error.value).split(f"the model {model} has ")[1]
    assert {*re.findall(r"--(\w+)", of_model)} - {"help"} == {*OWN_FLAGS[model]}
    assert of_model.startswith("no flags of its own") == (OWN_FLAGS[model] == ())


@pytest.mark.parametrize("command", ["train", "search"])
def test_an_unknown_model_is_an_error_that_lists_those_that_exist(command):
    module = {"train": "hln_tf.train", "search": "tuning.search"}[command]
    sentence = run(module, "--dataset", "sample", "--model", "sr_gn").sentence(2)
    assert "--model" in sentence and "'sr_gn'" in sentence
    assert {*MODELS} <= {*re.findall(r"\w+", sentence)}


def test_a_closed_output_causes_no_traceback(trained):
    process = start("hln_tf.report", trained.path)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert "Traceback" not in error


def test_a_counting_model_has_the_settings_of_training_that_apply_to_it():
    arguments = ["--dataset", "sample", "--model", "markov", "--max_length", "3", "--refit"]
    _, _, training = parse(arguments, "train", None)
    assert (training.max_length, training.refit) == (3, True)
    with pytest.raises(UsageError, match="--epochs"):
        parse([*arguments, "--epochs", "3"], "train", None)
