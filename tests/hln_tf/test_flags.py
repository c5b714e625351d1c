"""What is refused before any work starts."""

import pytest
from commands import finish, run, start

from hln_tf.errors import UsageError
from hln_tf.models.settings import MODELS
from hln_tf.training.flags import parse


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model", "gru"], ("--model", "'gru'", *MODELS)),
        (["--model", "markov", "--hidden_dim", "8"], ("--hidden_dim",)),
        (["--model", "popularity", "--epochs", "2"], ("--epochs",)),
        (["--model", "markov", "--preset", "paper"], ("--preset",)),
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
from hln_tf import cli, evaluate, recommend, report, train
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


def test_every_model_lists_its_own_flags_in_help(capsys):
    from hln_tf.train import main

    for name, entry in MODELS.items():
        with pytest.raises(SystemExit):
            main(["--model", name, "--help"])
        text = capsys.readouterr().out
        assert ("--hidden_dim" in text) == (name == "hln")
        assert ("named settings" in text) == entry.is_encoder
        assert "--refit" in text


def test_reader_that_has_gone_makes_no_traceback(trained):
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
