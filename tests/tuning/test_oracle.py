"""The trials that a search runs, with a fake training."""

import shutil

import pytest
from keras_tuner.engine.trial import Trial

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from tuning.brackets import brackets
from tuning.oracles import create_oracle
from tuning.plan import EPOCHS, PARENT
from tuning.results import Results
from tuning.settings import TUNERS
from tuning.tuner import TrialTuner


def search(plan, train, on_end=lambda oracle, trial: None):
    """Run or resume a search by one process."""
    oracle = create_oracle(plan, lambda trial: on_end(oracle, trial))
    for worker in list(oracle.ongoing_trials):
        oracle.requeue(worker)
    with plan.locked():
        TrialTuner(plan, oracle, train, StopOnSignal()).search(verbose=0)
    return oracle


def points(oracle):
    """The points of the trials that were not promoted."""
    space, trials = oracle.plan.space, oracle.trials.values()
    values = [each.hyperparameters.values for each in trials]
    return [space.key(space.values(each)) for each in values if PARENT not in each]


@pytest.mark.parametrize("tuner", TUNERS)
def test_trial_0_is_the_default_and_the_rest_differ(make_plan, fake_training, read_config, tuner):
    plan, train = make_plan(tuner), fake_training()
    oracle = search(plan, train)
    assert oracle.is_complete
    assert len(train.ran) == len(set(train.ran)) == oracle.max_trials
    first, base = read_config(plan, 0), plan.base.to_dict()
    if tuner == "hyperband":
        first["training"]["epochs"] = base["training"]["epochs"]
    assert first == base
    rates = {read_config(plan, n)["training"]["learning_rate"] for n in train.ran}
    assert len(rates) > 2
    results = Results.from_oracle(oracle)
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
    assert rest.ran == list(range(2, uninterrupted.max_trials))
    values = {name: trial.hyperparameters.values for name, trial in uninterrupted.trials.items()}
    assert values == {name: t.hyperparameters.values for name, t in resumed.trials.items()}


def test_a_trial_that_ended_just_before_a_kill_is_not_run_again(make_plan, fake_training, tmp_path):
    plan, train = make_plan(max_trials=3), fake_training()
    states = []

    def on_end(oracle, trial):
        states.append(tmp_path / f"{trial.trial_id}.json")
        shutil.copy(oracle.plan.oracle, states[-1])

    oracle = search(plan, train, on_end)
    shutil.copy(states[0], oracle.plan.oracle)
    rest = fake_training()
    search(plan, rest)
    assert rest.ran == [1, 2]


def test_a_promoted_trial_has_checkpoint_and_weights_of_its_parent(make_plan, fake_training):
    plan = make_plan("hyperband")
    results = Results.from_oracle(search(plan, fake_training()))
    promoted = [each for each in results.completed if each.parent is not None]
    assert promoted
    by_number = {each.number: each for each in results.completed}
    for child in promoted:
        parent = by_number[child.parent]
        assert child.values == parent.values
        assert child.epochs > parent.epochs == child.hyperparameters["tuner/initial_epoch"]
        (run,) = plan.run_directories(str(child.number))
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
    results = Results.from_oracle(oracle)
    assert [each.number for each in results.failed] == list(range(5))
    assert results.failed[3].reason == "ValueError: trial 3 is bad"
    assert "Traceback" in (plan.trial_directory("3") / "failure.txt").read_text()
    assert "Traceback" not in capfd.readouterr().err
    assert len(train.ran) == len(set(train.ran)), "a failed trial is not repeated"
    assert len(results.completed) == len(oracle.trials) - 5 > 0


def test_a_search_without_a_score_is_an_error(make_plan, fake_training):
    plan = make_plan(max_trials=4)
    results = Results.from_oracle(search(plan, fake_training(failing=range(4))))
    with pytest.raises(HlnError, match=r"no trial .* \(4 failed, trial 0: ValueError: trial 0"):
        results.write()
    assert (plan.workdir / "trials.csv").read_text().count("failed") == 4
    assert not (plan.workdir / "best_config.json").exists()


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
def test_more_trials_extend_a_finished_search(make_plan, fake_training, tuner):
    search(make_plan(tuner, max_trials=9), fake_training())
    more = fake_training()
    oracle = search(make_plan(tuner, max_trials=12), more)
    assert more.ran == [9, 10, 11]
    assert oracle.is_complete


def test_more_iterations_extend_a_hyperband_search_that_ended(make_plan, fake_training):
    first = search(make_plan("hyperband"), fake_training())
    more = fake_training()
    oracle = search(make_plan("hyperband", iterations=2), more)
    assert oracle.is_complete and oracle.max_trials == 2 * first.max_trials
    assert more.ran == list(range(first.max_trials, oracle.max_trials))
    assert len(set(points(oracle))) == len(points(oracle))


@pytest.mark.parametrize("tuner", TUNERS)
def test_an_exhausted_search_space_ends_the_search(make_plan, fake_training, tuner):
    plan, train = make_plan(tuner, max_trials=20, names=("aggregation",)), fake_training()
    oracle = search(plan, train)
    assert len(points(oracle)) == len(set(points(oracle))) == 4
    promoted = len(oracle.trials) - 4
    assert promoted == (3 if tuner == "hyperband" else 0), "of four trials 2 and then 1"


@pytest.mark.parametrize("tuner", TUNERS)
def test_no_point_of_few_is_proposed_twice_whatever_fails(make_plan, fake_training, tuner):
    domains = {"learning_rate": [0.001, 0.003, 0.01], "num_groups": (1, 4)}
    names = ("learning_rate", "num_groups")
    plan = make_plan(tuner, max_trials=13, names=names, domains=domains, iterations=2)
    oracle = search(plan, fake_training(failing=[3, 7]))
    assert len(set(points(oracle))) == len(points(oracle)) >= 12


@pytest.mark.slow
def test_bayesian_search_is_better_than_random_search(make_plan, fake_training, tmp_path):
    """Its later trials are near the optimum, a learning rate of 0.003."""
    means = {}
    for tuner in ("random", "bayesian"):
        plan = make_plan(tuner, tmp_path / tuner, max_trials=18)
        scores = [trial.score for trial in search(plan, fake_training()).trials.values()]
        means[tuner] = sum(scores[6:]) / 12
    assert means["bayesian"] > 1.3 * means["random"]


def test_a_hyperband_trial_is_promoted_once_it_is_certain_to_be_among_the_best(make_plan):
    oracle = create_oracle(make_plan("hyperband"))
    started = [oracle.create_trial(f"w{n}") for n in range(4)]
    assert [trial.hyperparameters.values[EPOCHS] for trial in started] == [1] * 4
    for trial, score in zip(started[:3], (0.1, 0.3, 0.2), strict=True):
        oracle.update_trial(trial.trial_id, {"mrr@20": score})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    # Two of four are promoted: the second best might still be surpassed by the running trial.
    promoted = oracle.create_trial("w0")
    assert promoted.hyperparameters.values[PARENT] == started[1].trial_id
    assert PARENT not in oracle.create_trial("w1").hyperparameters.values, "the next bracket"
    started[3].status = "FAILED"
    oracle.end_trial(started[3])
    assert oracle.create_trial("w2").hyperparameters.values[PARENT] == started[2].trial_id


@pytest.mark.parametrize("failing", [[0, 1, 2], [0, 1, 2, 3], [4], [4, 5]])
def test_hyperband_ends_with_failed_trials(make_plan, fake_training, failing):
    oracle = search(make_plan("hyperband"), fake_training(failing=failing))
    assert oracle.has_stopped and len(oracle.end_order) == len(oracle.trials)
    epochs = [trial.hyperparameters.values[EPOCHS] for trial in oracle.trials.values()]
    assert epochs.count(4) >= 4, "the last bracket runs nevertheless"


@pytest.mark.parametrize(
    ("max_epochs", "factor", "expected"),
    [
        # Table 1 of Li et al. has R = 81 and eta = 3.
        (
            81,
            3,
            [
                ((81, 27, 9, 3, 1), (1, 3, 9, 27, 81)),
                ((34, 11, 3, 1), (3, 9, 27, 81)),
                ((15, 5, 1), (9, 27, 81)),
                ((8, 2), (27, 81)),
                ((5,), (81,)),
            ],
        ),
        (1, 3, [((1,), (1,))]),
        (5, 2, [((4, 2, 1), (1, 2, 5)), ((3, 1), (2, 5)), ((3,), (5,))]),
    ],
)
def test_the_brackets_are_those_of_the_paper(max_epochs, factor, expected):
    found = brackets(max_epochs, factor, 1)
    assert [(each.sizes, each.epochs) for each in found] == expected
    assert max_epochs != 5 or [each.cost for each in found] == [4 + 2 + 3, 6 + 3, 15]


def test_a_late_report_of_a_requeued_trial_changes_nothing(make_plan):
    oracle = create_oracle(make_plan(max_trials=2))
    lost = Trial.from_state(oracle.create_trial("w1").get_state())
    oracle.requeue("w1")
    trial = oracle.create_trial("w2")
    assert trial.trial_id == lost.trial_id
    for worker in (trial, lost):
        oracle.update_trial(worker.trial_id, {"mrr@20": 0.5})
        worker.status = "COMPLETED" if worker is trial else "FAILED"
        oracle.end_trial(worker)
    assert oracle.end_order == [trial.trial_id] and not oracle.ongoing_trials
    resumed = create_oracle(oracle.plan)
    assert not resumed.ongoing_trials and resumed.create_trial("w1").trial_id == "0001"
    assert oracle.trials[trial.trial_id].status == "COMPLETED"


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
    assert all(word in str(caught.value) for word in [*words, "`workdir`"]), caught.value


def test_a_damaged_state_is_an_error(make_plan, fake_training):
    plan = make_plan(max_trials=1)
    path = search(plan, fake_training()).plan.oracle
    path.write_text(path.read_text()[:-20])
    with pytest.raises(HlnError, match=r"oracle\.json is not valid JSON"):
        create_oracle(plan)
