"""Which trials a search runs, with a stand-in for the training."""

import shutil

import pytest

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from tuning import oracle as oracles
from tuning.plan import TUNERS
from tuning.results import Results
from tuning.tuner import Tuner


def search(plan, train, on_end=lambda oracle, trial: None):
    """Runs a search, or what is left of it, as one process."""
    oracle = oracles.create(plan, lambda trial: on_end(oracle, trial))
    for worker in list(oracle.ongoing_trials):
        oracle.put_back(worker)
    with plan.locked():
        Tuner(plan, oracle, train, StopOnSignal()).search(verbose=0)
    return oracle


@pytest.mark.parametrize("tuner", TUNERS)
def test_trial_0_is_the_default_and_the_rest_differ(make_plan, trials, config_of, tuner):
    plan, train = make_plan(tuner), trials()
    oracle = search(plan, train)
    assert oracle.is_complete
    assert len(train.ran) == len(set(train.ran)) == oracle.planned
    first, base = config_of(plan, 0), plan.base.to_dict()
    if tuner == "hyperband":
        first["training"]["epochs"] = base["training"]["epochs"]
    assert first == base
    rates = {config_of(plan, n)["training"]["learning_rate"] for n in train.ran}
    assert len(rates) > 2
    results = Results.from_search(plan, oracle)
    assert results.completed[0].score >= next(t.score for t in results.completed if t.number == 0)


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_finished_search_runs_nothing_again(make_plan, trials, tuner):
    plan, train = make_plan(tuner), trials()
    before = search(plan, train)
    again = search(plan, trials(failing=range(99)))
    assert again.is_complete
    scores = [trial.score for trial in again.trials.values()]
    assert scores == [trial.score for trial in before.trials.values()]


@pytest.mark.parametrize("tuner", TUNERS)
def test_an_interrupted_search_ends_as_an_uninterrupted_one(make_plan, trials, tmp_path, tuner):
    whole = search(make_plan(tuner, tmp_path / "whole"), trials())
    plan, train = make_plan(tuner, tmp_path / "parted"), trials(dying=[2])
    with pytest.raises(KeyboardInterrupt):
        search(plan, train)
    assert train.ran == [0, 1, 2]
    rest = trials()
    parted = search(plan, rest)
    assert rest.ran == list(range(2, whole.planned))
    values = {name: trial.hyperparameters.values for name, trial in whole.trials.items()}
    assert values == {name: t.hyperparameters.values for name, t in parted.trials.items()}


def test_a_trial_that_ended_just_before_a_kill_is_not_run_again(make_plan, trials, tmp_path):
    plan, train = make_plan(max_trials=3), trials()
    states = []

    def on_end(oracle, trial):
        states.append(tmp_path / f"{trial.trial_id}.json")
        shutil.copy(oracle.path, states[-1])

    oracle = search(plan, train, on_end)
    shutil.copy(states[0], oracle.path)
    rest = trials()
    search(plan, rest)
    assert rest.ran == [1, 2]


def test_hyperband_goes_on_from_the_state_of_the_parent(make_plan, trials):
    plan = make_plan("hyperband")
    results = Results.from_search(plan, search(plan, trials()))
    promoted = [each for each in results.completed if each.parent is not None]
    assert promoted
    by_number = {each.number: each for each in results.completed}
    for child in promoted:
        parent = by_number[child.parent]
        assert child.values == parent.values
        assert child.epochs > parent.epochs == child.drawn["tuner/initial_epoch"]
        state = (plan.run(str(child.number)).path / "selection" / "epochs").read_text().split()
        assert state[-2:] == [
            f"{parent.number}:{parent.epochs}",
            f"{child.number}:{child.epochs}",
        ]
    assert max(each.epochs for each in results.completed) == 4


@pytest.mark.parametrize("tuner", TUNERS)
def test_failures_fail_their_own_trials_alone(make_plan, trials, tuner, capfd):
    plan, train = make_plan(tuner, max_trials=8), trials(failing=range(5))
    oracle = search(plan, train)
    results = Results.from_search(plan, oracle)
    assert [each.number for each in results.failed] == list(range(5))
    assert results.failed[3].reason == "ValueError: trial 3 is bad"
    assert "Traceback" in (plan.run("3").path / "failure.txt").read_text()
    assert "Traceback" not in capfd.readouterr().err
    assert len(train.ran) == len(set(train.ran)), "a failed trial is not repeated"
    assert len(results.completed) == len(oracle.trials) - 5 > 0


def test_a_search_without_a_score_says_so(make_plan, trials):
    plan = make_plan(max_trials=4)
    results = Results.from_search(plan, search(plan, trials(failing=range(4))))
    with pytest.raises(HlnError, match=r"no trial .* \(4 failed, trial 0: ValueError: trial 0"):
        results.write()
    assert (plan.workdir / "trials.csv").read_text().count("failed") == 4
    assert not (plan.workdir / "best_config.json").exists()


def test_more_trials_go_on_from_a_finished_search(make_plan, trials):
    search(make_plan(max_trials=9), trials())
    more = trials()
    oracle = search(make_plan(max_trials=12), more)
    assert more.ran == [9, 10, 11]
    assert oracle.is_complete


def test_a_space_that_is_used_up_ends_the_search(make_plan, trials):
    plan, train = make_plan(max_trials=20, names=("aggregation",)), trials()
    search(plan, train)
    assert train.ran == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tuner": "bayesian"}, ["tuner random", "not bayesian"]),
        ({"names": ("learning_rate",)}, ["another search", "space"]),
    ],
)
def test_the_workdir_of_another_search_is_refused(make_plan, change, words):
    with make_plan().locked():
        pass
    with pytest.raises(HlnError) as caught, make_plan(**change).locked():
        pass
    assert all(word in str(caught.value) for word in [*words, "--workdir"]), caught.value


def test_a_damaged_state_is_an_error(make_plan, trials):
    plan = make_plan(max_trials=1)
    path = search(plan, trials()).path
    path.write_text(path.read_text()[:-20])
    with pytest.raises(HlnError, match=r"oracle\.json is not valid JSON"):
        oracles.create(plan)
