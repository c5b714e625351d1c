"""Trainings without TensorFlow: the same as those of `hln_tf.train`, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import finish, prepare, run, start

from benchmarks import accelerated_runs
from benchmarks.compiled.programs import Argument, Output, Program, ProgramError
from benchmarks.compiled.run_plan import Plan, PlannedRun, read_sessions, write_sessions
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.sessions import Sessions
from hln_tf.models.settings import STAMPSettings
from hln_tf.training import RunConfig, RunDirectory, TrainingSettings
from hln_tf.training.run_config import DataDescription

ROOT = Path(__file__).parents[2]
SMALL = ("--embedding_dim", "8", "--batch_size", "32", "--max_length", "5", "--epochs", "2")


def plan():
    data = DataDescription("sample", "data", "", 9, "", "")
    config = RunConfig("stamp", STAMPSettings(), TrainingSettings(), data)
    argument = Argument("items", (4, 2), "int32", "stored")
    program = Program(
        "train-2", "", "float32", 4, 0.0, (argument,), (Output("loss"), Output("x", argument=0))
    )
    planned = PlannedRun("runs/one", config, "data.npz", "stamp", {"x": "1.npy"}, {"x": "2.npy"})
    return Plan([planned], {("stamp", "train", 2): program, ("stamp", "train", 5): program})


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan().write(tmp_path)
    assert Plan.read(tmp_path) == plan()
    assert plan().lengths("stamp", "train") == [2, 5]
    assert plan().lengths("stamp", "rank") == []


@pytest.mark.parametrize("text", [None, "{", '{"format": 0}', '{"format": 1, "runs": [{}]}'])
def test_a_plan_that_cannot_be_read(tmp_path, text):
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ProgramError, match=r"plan\.json cannot be read .*--emit"):
        Plan.read(tmp_path)


def test_sessions_are_read_as_they_were_written(tmp_path):
    parts = {"train": Sessions.from_lists([[1, 2], [3, 1, 1]]), "test": Sessions.from_lists([[2]])}
    write_sessions(tmp_path / "data.npz", parts)
    found = read_sessions(tmp_path / "data.npz")
    assert set(found) == set(parts)
    for name, part in parts.items():
        for column in ("items", "offsets", "dates"):
            np.testing.assert_array_equal(getattr(found[name], column), getattr(part, column))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--dataset sample --workdir runs/one", "needs --workdir and --data_dir"),
        ("search --dataset sample --workdir runs/one", "is of --tuner random"),
        (
            "--dataset sample --workdir runs/one --data_dir data --init_from runs/two",
            "--init_from does not apply",
        ),
        (
            "--dataset sample --workdir runs/one --data_dir data --deterministic",
            "--deterministic does not apply",
        ),
        ("--dataset 'sample", "line 3: No closing quotation"),
    ],
)
def test_runs_that_cannot_be_planned(tmp_path, line, message):
    (tmp_path / "runs.txt").write_text(f"# a comment\n\n{line}\n")
    with pytest.raises((UsageError, HlnError), match=message):
        accelerated_runs.main(
            ["--emit", str(tmp_path / "plan"), "--runs", str(tmp_path / "runs.txt")]
        )


def test_flags_that_are_missing(tmp_path):
    with pytest.raises(UsageError, match="--runs is missing"):
        accelerated_runs.main(["--emit", str(tmp_path)])
    with pytest.raises(HlnError, match=r"runs\.txt cannot be read"):
        accelerated_runs.main(["--emit", str(tmp_path), "--runs", str(tmp_path / "runs.txt")])


def execute(directory, *arguments):
    """Run the command where neither TensorFlow nor tf_keras can be imported."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'tf_keras')));"
        "from benchmarks import accelerated_runs;"
        "from hln_tf.common import cli;"
        "sys.exit(cli.run(accelerated_runs.main))"
    )
    command = [sys.executable, "-c", code, "--execute", str(directory), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def succeed(module, *arguments):
    outcome = run(module, *arguments)
    assert outcome.code == 0, outcome.err
    return outcome.out


@pytest.mark.slow
def test_a_training_is_that_of_the_command(tmp_path):
    """STAMP without dropout has no noise, so that the two can be compared."""
    pytest.importorskip("jax", reason="JAX executes the programs")
    raw, data = tmp_path / "raw", tmp_path / "data"
    generate = ("generate", "--sessions", 400, "--output", raw)
    process = start("beam_preprocess.sample", *generate)
    assert finish(process).code == 0
    log = raw / "sample-clicks.dat"
    assert prepare("--dataset", "sample", "--input", log, "--output", data).code == 0
    of_data = ("--dataset", "sample", "--data_dir", data)
    stamp = (*of_data, "--model", "stamp", *SMALL, "--refit")
    gru = (*of_data, "--model", "gru4rec", "--preset", "modern", *SMALL, "--num_negatives", "16")
    search = ("--tuner", "random", "--max_trials", "2", "--search", "learning_rate")
    lines = [
        (*stamp, "--workdir", tmp_path / "runs/stamp"),
        ("search", *gru, *search, "--workdir", tmp_path / "runs/search"),
    ]
    text = "\n".join(" ".join(map(str, line)) for line in lines)
    (tmp_path / "runs.txt").write_text(text)
    emitted, results = tmp_path / "plan", tmp_path / "results"
    succeed("benchmarks.accelerated_runs", "--emit", emitted, "--runs", tmp_path / "runs.txt")
    outcome = execute(emitted, "--results", str(results), "--at_once", "2")
    assert outcome.returncode == 0, outcome.stderr
    assert "epoch 2" in outcome.stdout
    succeed("benchmarks.accelerated_runs", "--collect", emitted, "--results", results)

    succeed("hln_tf.train", *stamp, "--workdir", tmp_path / "runs/command")
    found, expected = (
        json.loads((tmp_path / "runs" / name / "metrics.json").read_text())
        for name in ("stamp", "command")
    )
    for name in ("best_epoch", "parameters", "sessions", "training_examples", "trained_on"):
        assert found[name] == expected[name]
    for name in ("history", "refit_history"):
        for mine, other in zip(found[name], expected[name], strict=True):
            assert mine == pytest.approx(other, rel=2e-3)
    assert found["test"] == pytest.approx(expected["test"], rel=2e-3)

    trials = [tmp_path / "runs/search" / f"trial_000{number}" for number in range(2)]
    rates = [RunDirectory(trial).config().training.learning_rate for trial in trials]
    assert rates[0] == 0.05 and rates[1] != 0.05
    runs = (tmp_path / "runs/stamp", *trials)
    assert "stamp" in succeed("hln_tf.compare", *runs)
