"""The trials that a search runs, with a fake training."""

import shutil

import pytest

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from tuning.oracle import create_oracle
from tuning.plan import TUNERS
from tuning.results import Results
from tuning.tuner import Tuner


def search(plan, train, on_end=lambda oracle, trial: None):
    """Run or resume a search by one process."""
    oracle = create_oracle(plan, lambda trial: on_end(oracle, trial))
    for worker in list(oracle.ongoing_trials):
        oracle.requeue(worker)
    with plan.locked():
        Tuner(plan, oracle, train, StopOnSignal()).search(verbose=0)
    return oracle


@pytest.mark.parametrize("tuner", TUNERS)
def test_trial_0_is_the_default_and_the_rest_differ(make_plan, fake_training, read_config, tuner):
    plan, train = make_plan(tuner), fake_training()
    oracle = search(plan, train)
    assert oracle.is_complete
    assert len(train.ran) == len(set(train.ran)) == oracle.planned_trials
    first, base = read_config(plan, 0), plan.base.to_dict()
    if tuner == "hyperband":
        first["training"]["epochs"] = base["training"]["epochs"]
    assert first == base
    rates = {read_config(plan, n)["training"]["learning_rate"] for n in train.ran}
    assert len(rates) > 2
    results = Results.from_search(plan, oracle)
    assert results.completed[0].score >= next(t.score for t in results.completed if t.number == 0)


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_finished_search_runs_no_trial_again(make_plan, fake_training, tuner):
    plan, train = make_plan(tuner), fake_training()
    before = search(plan, train)
    again = search(plan, fake_training(failing=range(99)))
    assert again.is_complete
    scores = [trial.score for trial in again.trials.values()]
    assert scores == [trial.score for trial in before.trials.values()]


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_resumed_search_equals_an_uninterrupted_one(make_plan, fake_training, tmp_path, tuner):
    uninterrupted = search(make_plan(tuner, tmp_path / "uninterrupted"), fake_training())
    plan, train = make_plan(tuner, tmp_path / "resumed"), fake_training(interrupted=[2])
    with pytest.raises(KeyboardInterrupt):
        search(plan, train)
    assert train.ran == [0, 1, 2]
    rest = fake_training()
    resumed = search(plan, rest)
    assert rest.ran == list(range(2, uninterrupted.planned_trials))
    values = {name: trial.hyperparameters.values for name, trial in uninterrupted.trials.items()}
    assert values == {name: t.hyperparameters.values for name, t in resumed.trials.items()}


def test_a_trial_that_ended_just_before_a_kill_is_not_run_again(make_plan, fake_training, tmp_path):
    plan, train = make_plan(max_trials=3), fake_training()
    states = []

    def on_end(oracle, trial):
        states.append(tmp_path / f"{trial.trial_id}.json")
        shutil.copy(oracle.path, states[-1])

    oracle = search(plan, train, on_end)
    shutil.copy(states[0], oracle.path)
    rest = fake_training()
    search(plan, rest)
    assert rest.ran == [1, 2]


def test_a_promoted_trial_has_checkpoint_and_weights_of_its_parent(make_plan, fake_training):
    plan = make_plan("hyperband")
    results = Results.from_search(plan, search(plan, fake_training()))
    promoted = [each for each in results.completed if each.parent is not None]
    assert promoted
    by_number = {each.number: each for each in results.completed}
    for child in promoted:
        parent = by_number[child.parent]
        assert child.values == parent.values
        assert child.epochs > parent.epochs == child.hyperparameters["tuner/initial_epoch"]
        run = plan.run_directory(str(child.number))
        for directory in (run.checkpoints, run.weights):
            assert (directory / "epochs").read_text().split()[-2:] == [
                f"{parent.number}:{parent.epochs}",
                f"{child.number}:{child.epochs}",
            ]
    assert max(each.epochs for each in results.completed) == 4


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_failure_fails_only_its_own_trial(make_plan, fake_training, tuner, capfd):
    plan, train = make_plan(tuner, max_trials=8), fake_training(failing=range(5))
    oracle = search(plan, train)
    results = Results.from_search(plan, oracle)
    assert [each.number for each in results.failed] == list(range(5))
    assert results.failed[3].reason == "ValueError: trial 3 is bad"
    assert "Traceback" in (plan.run_directory("3").path / "failure.txt").read_text()
    assert "Traceback" not in capfd.readouterr().err
    assert len(train.ran) == len(set(train.ran)), "a failed trial is not repeated"
    assert len(results.completed) == len(oracle.trials) - 5 > 0


def test_a_search_without_a_score_is_an_error(make_plan, fake_training):
    plan = make_plan(max_trials=4)
    results = Results.from_search(plan, search(plan, fake_training(failing=range(4))))
    with pytest.raises(HlnError, match=r"no trial .* \(4 failed, trial 0: ValueError: trial 0"):
        results.write()
    assert (plan.workdir / "trials.csv").read_text().count("failed") == 4
    assert not (plan.workdir / "best_config.json").exists()


def test_more_trials_extend_a_finished_search(make_plan, fake_training):
    search(make_plan(max_trials=9), fake_training())
    more = fake_training()
    oracle = search(make_plan(max_trials=12), more)
    assert more.ran == [9, 10, 11]
    assert oracle.is_complete


def test_an_exhausted_search_space_ends_the_search(make_plan, fake_training):
    plan, train = make_plan(max_trials=20, names=("aggregation",)), fake_training()
    search(plan, train)
    assert train.ran == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tuner": "bayesian"}, ["tuner random", "not bayesian"]),
        ({"names": ("learning_rate",)}, ["another search", "space"]),
    ],
)
def test_the_workdir_of_another_search_is_rejected(make_plan, change, words):
    with make_plan().locked():
        pass
    with pytest.raises(HlnError) as caught, make_plan(**change).locked():
        pass
    assert all(word in str(caught.value) for word in [*words, "--workdir"]), caught.value


def test_a_damaged_state_is_an_error(make_plan, fake_training):
    plan = make_plan(max_trials=1)
    path = search(plan, fake_training()).path
    path.write_text(path.read_text()[:-20])
    with pytest.raises(HlnError, match=r"oracle\.json is not valid JSON"):
        create_oracle(plan)
