"""End-to-end tests: a chief and two workers, one of which is killed during a trial."""

import csv
import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from commands import checkpoint_number, finish, run, start, tree

from hln_tf.training import RunDirectory, parse

TRIALS = 6
FIGURES = ("importance", "parallel")


@pytest.fixture(scope="module")
def flags(chains, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("search") / "search"
    return [
        *("--dataset", "sample", "--data_dir", str(chains), "--workdir", str(workdir)),
        *("--embedding_dim", "4", "--hidden_dim", "4", "--num_groups", "1", "--epochs", "2"),
        *("--search", "learning_rate,leap_bias", "--range", "learning_rate=0.001:0.02"),
        *("--max_trials", str(TRIALS), "--checkpoint_minutes", "0", "--seed", "3"),
        *("--worker_timeout", "1200"),
    ]


def wait_for(condition, *processes):
    """Poll until a condition is true; fail if a process ends before."""
    deadline = time.monotonic() + 900
    while not condition():
        assert all(process.poll() is None for process in processes), finish(processes[0])
        assert time.monotonic() < deadline
        time.sleep(0.005)


def running_trial(worker, workdir):
    """Return the run directory of the trial that a worker runs, or None."""
    try:
        state = json.loads((workdir / "oracle.json").read_text())
        number = int(state["ongoing_trials"][worker])
    except (OSError, KeyError):
        return None
    return workdir / f"trial_{number:04d}"


@pytest.fixture(scope="module")
def searched(flags):
    """A finished search: its directory, the interrupted trial, and the processes' outcomes."""
    workdir = Path(flags[flags.index("--workdir") + 1])
    with pytest.MonkeyPatch.context() as patch, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        patch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        patch.setenv("KERASTUNER_ORACLE_PORT", str(unused.getsockname()[1]))
        unused.close()
        processes = {}

        def start_process(name):
            patch.setenv("KERASTUNER_TUNER_ID", name)
            processes[name] = start("tuning.search", *flags)

        try:
            for name in ("chief", "w1", "w2"):
                start_process(name)

            def has_checkpoint():
                trial = running_trial("w1", workdir)
                return trial and checkpoint_number(trial / "checkpoint")

            wait_for(has_checkpoint, processes["w1"], processes["chief"])
            killed = running_trial("w1", workdir)
            processes["w1"].send_signal(signal.SIGKILL)
            outcomes = [("killed", finish(processes["w1"]))]
            assert (killed / "crashes").read_text() == "1\n"
            start_process("w1")
            outcomes += [(name, finish(process)) for name, process in processes.items()]
        finally:
            for process in processes.values():
                process.kill()
    return workdir, killed, dict(outcomes)


def rows(workdir):
    with open(workdir / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_search_survives_the_kill_of_a_worker(searched):
    workdir, killed, outcomes = searched
    codes = {name: outcome.code for name, outcome in outcomes.items()}
    assert codes == {"killed": -signal.SIGKILL, "chief": 0, "w1": 0, "w2": 0}, outcomes
    trials = rows(workdir)
    assert [int(trial["trial"]) for trial in trials] == list(range(TRIALS))
    assert {trial["status"] for trial in trials} == {"completed"}
    assert len(list(workdir.glob("trial_*"))) == TRIALS
    assert not list(workdir.glob("workers/*"))
    figures = [workdir / f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")]
    assert all(figure.stat().st_size for figure in figures)
    assert f"{killed.name}: its process died during the trial, resuming it" in outcomes["w1"].err
    assert "resuming epoch" in outcomes["w1"].err


@pytest.mark.slow
def test_no_finished_trial_ran_twice(searched):
    _, _, outcomes = searched
    last_epochs = sum(out.err.count("\nepoch 2: ") for out in outcomes.values())
    assert last_epochs == TRIALS
    ended = re.findall(r"^(\d) of 6 trials: trial (\d) .*best ", outcomes["chief"].err, re.M)
    assert [int(count) for count, _ in ended] == list(range(1, TRIALS + 1))
    assert sorted(int(number) for _, number in ended) == list(range(TRIALS))


@pytest.mark.slow
def test_trial_0_is_the_default_and_the_best_is_not_worse(searched, flags):
    workdir, _, outcomes = searched
    search_only = ("--search", "--range", "--max_trials", "--worker_timeout")
    plain = [
        flag
        for name, value in zip(flags[::2], flags[1::2], strict=True)
        if name not in search_only
        for flag in (name, value)
    ]
    _, model_settings, training = parse(plain, "train", None)
    first = RunDirectory(workdir / "trial_0000").config()
    assert (first.model_settings, first.training) == (model_settings, training)
    scores = [float(trial["mrr@20"]) for trial in rows(workdir)]
    best = json.loads((workdir / "best_config.json").read_text())
    assert best == json.loads(
        (workdir / f"trial_{scores.index(max(scores)):04d}" / "config.json").read_text()
    )
    assert max(scores) >= scores[0]
    assert f"{100 * max(scores):.2f}" in outcomes["chief"].out.splitlines()[4], "best first"


@pytest.mark.slow
def test_the_objective_is_of_the_validation_split_only(searched):
    workdir, *_ = searched
    assert len(list(workdir.glob("trial_*/model/checkpoint"))) == TRIALS
    assert not list(workdir.rglob("metrics.json")), (
        "only a finished run is evaluated on the test split"
    )


@pytest.mark.slow
def test_a_run_of_the_best_config_has_the_score_of_its_trial(searched, tmp_path):
    workdir, *_ = searched
    path = tmp_path / "run"
    outcome = run("hln_tf.train", "--config", workdir / "best_config.json", "--workdir", path)
    assert outcome.code == 0, outcome.err
    best = json.loads((workdir / "best_config.json").read_text())
    assert json.loads((path / "config.json").read_text()) == best
    validation = json.loads((path / "metrics.json").read_text())["validation"]["mrr@20"]
    assert validation == pytest.approx(max(float(row["mrr@20"]) for row in rows(workdir)), abs=1e-4)


@pytest.mark.slow
def test_a_finished_search_only_reports_its_results_again(searched, flags):
    workdir, _, outcomes = searched
    before = tree(workdir)
    outcome = run("tuning.search", *flags)
    assert outcome.code == 0, outcome.err
    assert outcome.out == outcomes["chief"].out
    after = tree(workdir)
    assert {name: after[name] for name in before if name != ".lock"} == {
        name: content for name, content in before.items() if name != ".lock"
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--seed", "4"], ("another search", "training.seed = 3, not 4")),
        (["--tuner", "random"], ("another search", "tuner bayesian, not random")),
        (["--range", "leap_bias=0:1"], ("another search", "space")),
    ],
)
@pytest.mark.slow
def test_the_workdir_of_another_search_is_rejected(searched, flags, more, words):
    sentence = run("tuning.search", *flags, *more).sentence()
    assert all(word in sentence for word in (*words, "--workdir")), sentence


@pytest.mark.slow
def test_a_workdir_that_is_no_search_is_rejected(searched, flags, tmp_path):
    workdir, *_ = searched
    for path in (workdir / "trial_0000", workdir / "search.json"):
        sentence = run("tuning.search", *flags, "--workdir", path).sentence()
        assert str(path) in sentence and "choose another --workdir" in sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--max_trials", "0"], ("--max_trials is 0", "at least 1")),
        (
            ["--max_epochs", "9"],
            ("--max_epochs does not apply to --tuner bayesian", "--max_trials"),
        ),
        (["--tuner", "random", "--factor", "2"], ("--factor does not apply to --tuner random",)),
        (["--iterations", "2"], ("--iterations does not apply",)),
        (["--tuner", "hyperband", "--max_trials", "3"], ("--max_trials", "--factor")),
        (["--tuner", "hyperband", "--epochs", "3"], ("--epochs", "--max_epochs")),
        (["--tuner", "hyperband", "--factor", "1"], ("--factor is 1", "at least 2")),
        (["--tuner", "grid"], ("--tuner", "'grid'", "bayesian", "hyperband", "random")),
        (["--worker_timeout", "0"], ("--worker_timeout is 0", "more than 0")),
        (["--search", "wings"], ("'wings'", "learning_rate", "num_groups")),
        (["--range", "dropout=0.4:0.1"], ("dropout=0.4:0.1", "LOW below HIGH")),
        (["--width", "3"], ("--width",)),
        (["--model", "popularity"], ("no settings to search",)),
        (["--model", "sknn", "--tuner", "hyperband"], ("sknn", "epochs", "bayesian")),
        (["--model", "sknn", "--search", "batch_size"], ("'batch_size'", "neighbors")),
        (["--init_from", "older"], ("--init_from",)),
        (["--selection", "other"], ("--selection",)),
    ],
)
def test_invalid_flags_are_rejected(tmp_path, more, words):
    workdir = tmp_path / "search"
    sentence = run("tuning.search", "--dataset", "sample", "--workdir", workdir, *more).sentence(2)
    assert all(word in sentence for word in words), sentence
    assert not workdir.exists()


def test_a_model_without_training_is_searched_by_its_own_settings(chains, tmp_path):
    where = ("--dataset", "sample", "--data_dir", chains, "--model", "sknn")
    search = ("--tuner", "random", "--max_trials", "2", "--workdir", tmp_path / "search")
    outcome = run("tuning.search", *where, *search)
    assert outcome.code == 0, outcome.err
    with (tmp_path / "search" / "trials.csv").open() as lines:
        trials = list(csv.DictReader(lines))
    assert (trials[0]["sample_size"], trials[0]["neighbors"]) == ("1000", "500")
    assert {"sample_size", "neighbors"} < set(trials[0]) and "batch_size" not in trials[0]
    best = tmp_path / "search" / "best_config.json"
    outcome = run("hln_tf.train", "--config", best, "--workdir", tmp_path / "run")
    assert outcome.code == 0, outcome.err


def test_a_cluster_of_one_training_is_rejected(monkeypatch):
    cluster = {"worker": ["a:1", "b:2"]}
    value = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
    monkeypatch.setenv("TF_CONFIG", value)
    assert "TF_CONFIG" in run("tuning.search", "--dataset", "sample").sentence(2)


def test_a_worker_does_not_prepare_the_data_set(monkeypatch, tmp_path):
    for name, value in (("TUNER_ID", "w1"), ("ORACLE_IP", "localhost"), ("ORACLE_PORT", "1")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    where = ("--data_dir", tmp_path / "none")
    sentence = run("tuning.search", "--dataset", "sample", *where).sentence()
    assert "none is not a prepared data set" in sentence and "chief" in sentence


def test_help_imports_no_tensorflow():
    code = """
import sys
from hln_tf.common import cli
from tuning import search
try:
    cli.run(search.main, ["--help"])
except SystemExit:
    pass
assert not {"tensorflow", "keras_tuner", "matplotlib", "sklearn"} & set(sys.modules)
"""
    outcome = finish(start(code))
    assert outcome.code == 0, outcome.err
    assert "--range NAME=LOW:HIGH" in outcome.out
