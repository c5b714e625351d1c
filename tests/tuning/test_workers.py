import contextlib
import errno
import os
import socket

import pytest
from keras_tuner.src.distribute.oracle_chief import exit_chief

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from tuning import oracle as oracles
from tuning.tuner import Tuner
from tuning.workers import HOST, ID, PORT, Chief, Role, follow, lead, present

TIMEOUT = 60.0


class Search:
    """A chief with a clock and workers' files that the test moves."""

    def __init__(self, plan):
        self.oracle = oracles.create(plan)
        self.directory = plan.workers
        self.directory.mkdir(parents=True, exist_ok=True)
        self.now = 0.0
        self.chief = Chief(self.oracle, self.directory, TIMEOUT, lambda: self.now)

    def beat(self, *workers):
        for worker in workers:
            (self.directory / worker).write_text("")
            stamp = int(1e9 * (1 + self.now))
            os.utime(self.directory / worker, ns=(stamp, stamp))

    def leave(self, worker):
        (self.directory / worker).unlink()

    def pass_time(self, seconds, *beating):
        """Lets time pass, a look every ten seconds; returns the last one's answer."""
        finished = False
        for _ in range(int(seconds / 10)):
            self.now += 10
            self.beat(*beating)
            finished = self.chief.has_finished()
        return finished

    def end(self, trial):
        trial.status = "FAILED"
        self.oracle.end_trial(trial)


@pytest.fixture
def watched(make_plan):
    return Search(make_plan(max_trials=2))


def test_a_worker_that_has_gone_ends_the_chief_and_gives_its_trial_back(watched):
    watched.pass_time(30, "w1", "w2")
    trials = [watched.oracle.create_trial(name) for name in ("w1", "w2")]
    assert not watched.pass_time(60, "w2"), "a minute of silence is allowed"
    with pytest.raises(HlnError, match="worker w1 has been gone for 60 s: start it again"):
        watched.pass_time(10, "w2")
    assert list(watched.oracle.ongoing_trials) == ["w2"]
    assert watched.oracle.create_trial("w3").trial_id == trials[0].trial_id


def test_a_worker_that_left_gives_its_trial_back_at_once(watched):
    watched.pass_time(10, "w1", "w2")
    trial = watched.oracle.create_trial("w1")
    watched.leave("w1")
    watched.pass_time(200, "w2")
    assert watched.oracle.create_trial("w2").trial_id == trial.trial_id


def test_a_worker_that_comes_back_in_time_has_its_trial(watched):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    watched.pass_time(50)
    watched.pass_time(50, "w1")
    assert watched.oracle.create_trial("w1").trial_id == trial.trial_id


def test_a_chief_without_workers_ends(watched):
    assert not watched.pass_time(60)
    with pytest.raises(HlnError, match="no worker has been there for 60 s"):
        watched.pass_time(10)


def test_a_worker_at_its_trial_outlives_its_chief(watched, make_plan):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    later = Search(make_plan(max_trials=2))
    later.pass_time(100, "w1")
    assert later.oracle.ongoing_trials["w1"].trial_id == trial.trial_id
    later.end(later.oracle.trials[trial.trial_id])
    assert not later.oracle.ongoing_trials


def test_a_trial_whose_worker_never_comes_back_to_a_new_chief_goes_to_others(watched, make_plan):
    watched.pass_time(10, "w1")
    trial = watched.oracle.create_trial("w1")
    later = Search(make_plan(max_trials=2))
    later.pass_time(50, "w2")
    assert "w1" in later.oracle.ongoing_trials
    later.pass_time(50, "w2")
    assert later.oracle.create_trial("w2").trial_id == trial.trial_id


def test_workers_wait_for_trials_under_way_and_leave_when_all_have_ended(watched):
    watched.pass_time(10, "w1", "w2")
    trials = [watched.oracle.create_trial(name) for name in ("w1", "w2")]
    watched.end(trials[0])
    assert watched.oracle.create_trial("w1").status == "IDLE"
    watched.end(trials[1])
    assert watched.oracle.create_trial("w1").status == "STOPPED"
    assert not watched.pass_time(10, "w1", "w2"), "the others are still to be told"
    watched.leave("w1")
    watched.leave("w2")
    assert watched.pass_time(10)


def test_a_worker_that_is_killed_after_the_last_trial_does_not_matter(watched):
    watched.pass_time(10, "w1", "w2")
    for name in ("w1", "w2"):
        watched.end(watched.oracle.create_trial(name))
    watched.leave("w1")
    assert watched.pass_time(80)


def test_a_worker_is_present_until_it_leaves(tmp_path):
    with present(tmp_path, "rack/1"):
        assert [path.name for path in tmp_path.iterdir()] == ["rack%2F1"]
        with (
            pytest.raises(HlnError, match="the name rack/1 is in use by process"),
            present(tmp_path, "rack/1"),
        ):
            pass
    assert not list(tmp_path.iterdir())
    with contextlib.suppress(KeyboardInterrupt), present(tmp_path, "w"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_chief_that_does_not_answer_is_an_error(make_plan, trials, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    for name, value in ((ID, "w1"), (HOST, "127.0.0.1"), (PORT, port)):
        monkeypatch.setenv(name, value)
    plan = make_plan()
    tuner = Tuner(plan, oracles.create(plan), trials(), StopOnSignal())
    follow(tuner.oracle, f"127.0.0.1:{port}", 0.3)
    with pytest.raises(HlnError, match=f"chief at 127.0.0.1:{port} does not answer"):
        tuner.search()


class Serving:
    """Stands for a chief's tuner."""

    def __init__(self, oracle, failure=None):
        self.oracle = oracle
        self._failure = failure

    def search(self, verbose):
        if self._failure:
            raise self._failure


def test_an_address_that_cannot_be_served_is_an_error(watched):
    tuner = Serving(watched.oracle, RuntimeError("Failed to bind"))
    with pytest.raises(HlnError, match=r"h:1 cannot be served \(Failed to bind\): .*PORT"):
        lead(tuner, watched.chief, "h:1", lambda: None)


def test_the_chief_answers_until_all_workers_have_left(watched):
    """KerasTuner's own server ends once those have been told to stop that it knows of."""
    watched.oracle.has_ended = True
    lead(Serving(watched.oracle), watched.chief, "h:1", lambda: None)
    assert not exit_chief(watched.oracle)


def test_a_state_that_cannot_be_saved_ends_the_chief(watched, monkeypatch):
    monkeypatch.setattr("hln_tf.common.files.write_json", full_disk)
    with pytest.raises(OSError):
        watched.oracle.create_trial("w1")
    with pytest.raises(OSError, match="No space"):
        lead(Serving(watched.oracle), watched.chief, "h:1", lambda: None)


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
def test_roles_that_are_refused(variables, words):
    with pytest.raises(UsageError, match=words):
        Role.from_environment(variables)
