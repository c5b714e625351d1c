import contextlib
import errno
import os
import socket
import threading

import grpc
import pytest
from keras_tuner.src.distribute.oracle_chief import exit_chief

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from tuning.chief import Chief, LostReportError, run_until_ended
from tuning.oracles import create_oracle
from tuning.results import Results
from tuning.tuner import TrialTuner
from tuning.workers import HOST, ID, PORT, Role, WorkerMonitor, heartbeat, serve_oracle

TIMEOUT = 60.0


class Search:
    """A chief whose clock and heartbeat files the test controls."""

    def __init__(self, plan):
        self.oracle = create_oracle(plan)
        self.directory = plan.heartbeats
        self.directory.mkdir(parents=True, exist_ok=True)
        self.now = 0.0
        self.monitor = WorkerMonitor(self.oracle, self.directory, TIMEOUT, lambda: self.now)

    def beat(self, *workers):
        for worker in workers:
            (self.directory / worker).write_text("")
            stamp = int(1e9 * (1 + self.now))
            os.utime(self.directory / worker, ns=(stamp, stamp))

    def leave(self, worker):
        (self.directory / worker).unlink()

    def pass_time(self, seconds, *beating):
        """Advance the clock with a check every ten seconds; return the last one's result."""
        finished = False
        for _ in range(int(seconds / 10)):
            self.now += 10
            self.beat(*beating)
            finished = self.monitor.check()
        return finished

    def end(self, trial):
        trial.status = "FAILED"
        self.oracle.end_trial(trial)


@pytest.fixture
def watched(make_plan):
    return Search(make_plan(max_trials=2))


def test_a_lost_worker_ends_the_chief_and_its_trial_is_requeued(watched):
    watched.pass_time(30, "w1", "w2")
    trials = [watched.oracle.create_trial(name) for name in ("w1", "w2")]
    assert not watched.pass_time(60, "w2"), "a minute without a heartbeat is allowed"
    with pytest.raises(HlnError, match="no heartbeat of the worker w1 for 60 s: restart it"):
        watched.pass_time(10, "w2")
    assert list(watched.oracle.ongoing_trials) == ["w2"]
    assert watched.oracle.create_trial("w3").trial_id == trials[0].trial_id


def test_the_trial_of_a_worker_that_left_is_requeued_at_once(watched):
    watched.pass_time(10, "w1", "w2")
    trial = watched.oracle.create_trial("w1")
    watched.leave("w1")
    watched.pass_time(200, "w2")
    assert watched.oracle.create_trial("w2").trial_id == trial.trial_id


def test_a_worker_that_returns_in_time_resumes_its_trial(watched):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    watched.pass_time(50)
    watched.pass_time(50, "w1")
    assert watched.oracle.create_trial("w1").trial_id == trial.trial_id


def test_a_chief_without_workers_ends(watched):
    assert not watched.pass_time(60)
    with pytest.raises(HlnError, match="no heartbeat of any worker for 60 s"):
        watched.pass_time(10)


def test_a_running_trial_survives_a_restart_of_the_chief(watched, make_plan):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    later = Search(make_plan(max_trials=2))
    later.pass_time(100, "w1")
    assert later.oracle.ongoing_trials["w1"].trial_id == trial.trial_id
    later.end(later.oracle.trials[trial.trial_id])
    assert not later.oracle.ongoing_trials


def test_a_trial_is_requeued_if_its_worker_does_not_return_to_a_restarted_chief(watched, make_plan):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    later = Search(make_plan(max_trials=2))
    later.pass_time(50, "w2")
    assert "w1" in later.oracle.ongoing_trials
    later.pass_time(50, "w2")
    assert later.oracle.create_trial("w2").trial_id == trial.trial_id


def test_workers_are_idle_during_running_trials_and_stop_when_all_have_ended(watched):
    watched.pass_time(10, "w1", "w2")
    trials = [watched.oracle.create_trial(name) for name in ("w1", "w2")]
    watched.end(trials[0])
    assert watched.oracle.create_trial("w1").status == "IDLE"
    watched.end(trials[1])
    assert watched.oracle.create_trial("w1").status == "STOPPED"
    assert not watched.pass_time(10, "w1", "w2"), "the other worker has not yet received STOPPED"
    watched.leave("w1")
    watched.leave("w2")
    assert watched.pass_time(10)


def test_a_worker_killed_after_the_last_trial_is_ignored(watched):
    watched.pass_time(10, "w1", "w2")
    for name in ("w1", "w2"):
        watched.end(watched.oracle.create_trial(name))
    watched.leave("w1")
    assert watched.pass_time(80)


def test_the_heartbeat_file_is_removed_when_the_worker_leaves(tmp_path):
    with heartbeat(tmp_path, "rack/1"):
        assert [path.name for path in tmp_path.iterdir()] == ["rack%2F1"]
        with (
            pytest.raises(HlnError, match="the name rack/1 is in use by process"),
            heartbeat(tmp_path, "rack/1"),
        ):
            pass
    assert not list(tmp_path.iterdir())
    with contextlib.suppress(KeyboardInterrupt), heartbeat(tmp_path, "w"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_chief_that_does_not_answer_is_an_error(make_plan, fake_training, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    for name, value in ((ID, "w1"), (HOST, "127.0.0.1"), (PORT, port)):
        monkeypatch.setenv(name, value)
    plan = make_plan()
    chief = Chief(f"127.0.0.1:{port}", 0.3)
    tuner = TrialTuner(plan, create_oracle(plan), fake_training(), StopOnSignal(), chief)
    with pytest.raises(HlnError, match=f"chief at 127.0.0.1:{port} does not answer"):
        run_until_ended(tuner)


class FakeTuner:
    """Fake tuner of a chief."""

    def __init__(self, oracle, failure=None):
        self.oracle = oracle
        self._failure = failure

    def search(self, verbose):
        if self._failure:
            raise self._failure


def test_an_address_that_cannot_be_served_is_an_error(watched):
    tuner = FakeTuner(watched.oracle, RuntimeError("Failed to bind"))
    with pytest.raises(HlnError, match=r"h:1 cannot be served \(Failed to bind\): .*PORT"):
        serve_oracle(tuner, watched.monitor, "h:1", lambda: None)


def test_the_chief_answers_until_all_workers_have_left(watched):
    """KerasTuner's own server ends once the workers that it knows have received STOPPED."""
    watched.oracle.has_stopped = True
    serve_oracle(FakeTuner(watched.oracle), watched.monitor, "h:1", lambda: None)
    assert not exit_chief(watched.oracle)


def test_a_state_that_cannot_be_saved_ends_the_chief(watched, monkeypatch):
    monkeypatch.setattr("hln_tf.common.files.write_json", full_disk)
    with pytest.raises(OSError):
        watched.oracle.create_trial("w1")
    with pytest.raises(OSError, match="No space"):
        serve_oracle(FakeTuner(watched.oracle), watched.monitor, "h:1", lambda: None)


def full_disk(path, value):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_roles():
    assert Role.from_environment({}) == Role()
    assert not Role().is_chief and not Role().is_worker
    chief = Role.from_environment({ID: "chief", HOST: "127.0.0.1", PORT: "8000"})
    assert chief.is_chief and not chief.is_worker and chief.address == "127.0.0.1:8000"
    assert Role.from_environment({ID: "w", HOST: "h", PORT: "8000"}).is_worker
    assert Role.from_environment({ID: "w"}) == Role()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({HOST: "h"}, ID),
        ({HOST: "", ID: "w"}, HOST),
        ({HOST: "h", ID: "w"}, PORT),
        ({PORT: "1", ID: "w"}, HOST),
        ({HOST: "h", ID: "w", PORT: "http"}, "'http'"),
        ({HOST: "h", ID: "w", PORT: "70000"}, "'70000'"),
    ],
)
def test_invalid_roles_are_rejected(variables, words):
    with pytest.raises(UsageError, match=words):
        Role.from_environment(variables)


def test_a_worker_runs_the_trials_of_a_chief_by_kerastuners_messages(
    make_plan, fake_training, monkeypatch
):
    """Two data sets, a trial that fails and the median stopping rule, over gRPC."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    for name, value in ((ID, "chief"), (HOST, "127.0.0.1"), (PORT, port)):
        monkeypatch.setenv(name, value)
    domains = {"dropout": [0.1, 0.3], "exclusive_groups": [True, False]}
    names = ("learning_rate", *domains)
    datasets = list(make_plan().datasets) * 2
    plan = make_plan(
        max_trials=12, names=names, domains=domains, datasets=datasets, median_stopping=True
    )
    oracle = create_oracle(plan)
    chief = TrialTuner(plan, oracle, None, StopOnSignal())
    threading.Thread(target=chief.search, kwargs={"verbose": 0}, daemon=True).start()
    monkeypatch.setenv(ID, "w1")
    train = fake_training(failing=[1])
    address = Chief(f"127.0.0.1:{port}", TIMEOUT)
    worker = TrialTuner(plan, create_oracle(plan), train, StopOnSignal(), address)
    worker.await_chief()
    run_until_ended(worker)
    results = Results.from_oracle(oracle)
    assert oracle.is_complete and [each.number for each in results.failed] == [1]
    assert {each.number for each in results.completed} == {0, *range(2, 12)}
    assert any(any(each.stopped) for each in results.completed)
    for each in results.completed:
        assert each.scores == (pytest.approx(each.score), pytest.approx(each.score))
        config = plan.run_directories(str(each.number))[1].config()
        assert config == plan.config(each.hyperparameters, 1), "what the chief proposed"
        assert type(config.model_settings.exclusive_groups) is bool
        assert config.model_settings.dropout in (0.0, 0.1, 0.3)


class Answers:
    """A worker's tuner whose searches end with given errors."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def search(self):
        if self.errors:
            raise self.errors.pop(0)


class Unanswered(grpc.RpcError):
    """An error of gRPC with a code."""

    def __init__(self, code):
        self.code = lambda: code


def test_a_worker_asks_again_when_its_chief_died_during_a_request():
    tuner = Answers(Unanswered(grpc.StatusCode.UNAVAILABLE), LostReportError())
    run_until_ended(tuner)
    assert not tuner.errors
    with pytest.raises(HlnError, match=r"the chief has failed \(unknown\)"):
        run_until_ended(Answers(Unanswered(grpc.StatusCode.UNKNOWN)))


def test_a_report_that_was_not_received_does_not_end_its_trial(make_plan, fake_training):
    plan = make_plan()
    oracle = create_oracle(plan)
    tuner = TrialTuner(plan, oracle, fake_training(), StopOnSignal())
    trial = oracle.create_trial("tuner0")
    trial.status = "INVALID"  # as KerasTuner marks it when a request fails
    with pytest.raises(LostReportError):
        tuner.on_trial_end(trial)
    assert not oracle.end_order
    oracle.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        tuner.on_trial_end(trial)


def test_a_trial_goes_on_while_its_chief_is_away(make_plan, fake_training):
    plan = make_plan(median_stopping=True)
    oracle, history = create_oracle(plan), [{"mrr@20": 0.1}]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = Chief(f"127.0.0.1:{unused.getsockname()[1]}", 0.3)
    tuner = TrialTuner(plan, oracle, fake_training(), StopOnSignal(), away)
    assert not tuner.should_stop("0000", 0, history)

    def lost(*_, **__):
        raise Unanswered(grpc.StatusCode.UNAVAILABLE)

    tuner.chief, oracle.update_trial = None, lost
    assert not tuner.should_stop("0000", 0, history)
