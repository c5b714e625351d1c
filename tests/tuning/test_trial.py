import shutil

import events
import numpy as np
import pytest

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt
from hln_tf.data.dataset import SessionDataset
from hln_tf.training import TensorBoardSettings
from tuning.plan import EPOCHS, PARENT
from tuning.training import trainer
from tuning.trial import TrialError, failure_reason, run_trial

HYPERPARAMETERS = {"learning_rate": 0.01, "aggregation": "max"}


def crashes(plan):
    return int((plan.trial_directory("0") / "crashes").read_text())


def test_the_crash_count_is_incremented_while_a_trial_is_running(make_plan):
    plan = make_plan()
    assert run_trial(plan, "0", HYPERPARAMETERS, lambda *_: crashes(plan)) == [1]
    assert crashes(plan) == 0


def test_a_trial_fails_after_its_process_died_twice(make_plan):
    plan, ran = make_plan(), []
    run_trial(plan, "0", HYPERPARAMETERS, lambda *_: 0.5)
    (plan.trial_directory("0") / "crashes").write_text("1\n")
    assert run_trial(plan, "0", HYPERPARAMETERS, lambda *_: 0.5) == [0.5]
    (plan.trial_directory("0") / "crashes").write_text("2\n")
    with pytest.raises(TrialError, match="died 2 times"):
        run_trial(plan, "0", HYPERPARAMETERS, lambda *_: ran.append(1))
    assert not ran


def test_a_signal_is_neither_a_crash_nor_a_failure(make_plan):
    plan = make_plan()

    def stopped(*_):
        raise TrainingInterrupt(15)

    with pytest.raises(TrainingInterrupt):
        run_trial(plan, "0", HYPERPARAMETERS, stopped)
    assert crashes(plan) == 0
    assert not (plan.trial_directory("0") / "failure.txt").exists()


def test_a_trial_of_another_process_is_not_run(make_plan):
    plan = make_plan()
    (run,) = plan.run_directories("0")
    with run.locked(), pytest.raises(HlnError, match="in use") as caught:
        run_trial(plan, "0", HYPERPARAMETERS, lambda *_: 0.5)
    assert not isinstance(caught.value, TrialError)


def test_an_unusable_data_set_is_an_error_before_the_first_trial(make_plan, chains, tmp_path):
    shutil.copytree(chains, tmp_path / "data")
    plan = make_plan(datasets=[SessionDataset.from_directory(tmp_path / "data")])
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(HlnError, match="data"):
        trainer(plan, StopOnSignal(), TensorBoardSettings())
    empty = SessionDataset.from_directory(chains)
    empty.in_memory["validation"] = empty.split("validation").latest(0)
    with pytest.raises(HlnError, match="validation part of sample has no session"):
        trainer(make_plan(datasets=[empty]), StopOnSignal(), TensorBoardSettings())


def test_an_error_of_the_training_is_the_reason_of_the_failure(make_plan):
    def diverged(*_):
        raise HlnError("the loss is nan in epoch 1 at step 3: lower --learning_rate")

    plan = make_plan()
    with pytest.raises(TrialError, match="the loss is nan in epoch 1"):
        run_trial(plan, "0", HYPERPARAMETERS, diverged)
    assert (
        failure_reason(plan.trial_directory("0"))
        == "the loss is nan in epoch 1 at step 3: lower --learning_rate"
    )
    assert "Traceback" not in (plan.trial_directory("0") / "failure.txt").read_text()


@pytest.mark.slow
def test_a_promoted_trial_equals_an_uninterrupted_one(make_plan, capsys):
    plan = make_plan("hyperband")
    with StopOnSignal() as stop:
        train = trainer(plan, stop, TensorBoardSettings())
        run_trial(plan, "0", {**HYPERPARAMETERS, EPOCHS: 1}, train)
        resumed = run_trial(plan, "1", {**HYPERPARAMETERS, EPOCHS: 3, PARENT: "0"}, train)
        assert "resuming epoch 2" in capsys.readouterr().err
        uninterrupted = run_trial(plan, "2", {**HYPERPARAMETERS, EPOCHS: 3}, train)
    assert resumed == uninterrupted
    runs = [plan.run_directories(number)[0] for number in "12"]
    for directories in ([run.checkpoints for run in runs], [run.weights for run in runs]):
        found, expected = map(read_variables, directories)
        assert found.keys() == expected.keys() and found
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)
    rates = [plan.base.training.learning_rate_at(epoch) for epoch in range(3)]
    assert len(set(rates)) == 3, "the learning rate decays with each epoch"


@pytest.mark.slow
def test_a_training_ends_after_the_epoch_at_which_it_should_stop(make_plan, capsys):
    plan, asked = make_plan(), []

    def should_stop(data, history):
        asked.append([entry["mrr@20"] for entry in history])
        return len(history) == 2

    with StopOnSignal() as stop:
        train = trainer(plan, stop, TensorBoardSettings())
        score = run_trial(plan, "0", HYPERPARAMETERS, train, should_stop)
        assert [len(each) for each in asked] == [1, 2], "of three epochs"
        assert score == [max(asked[-1])]
        capsys.readouterr()
        assert run_trial(plan, "0", HYPERPARAMETERS, train, should_stop) == score
    assert asked[2:] == [asked[1]] and "epoch" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_tensorboard_settings_apply_to_trials(make_plan):
    plan = make_plan()
    with StopOnSignal() as stop:
        for trial, tensorboard in (
            ("0", TensorBoardSettings()),
            ("1", TensorBoardSettings(tensorboard=True)),
        ):
            run_trial(plan, trial, HYPERPARAMETERS, trainer(plan, stop, tensorboard))
    runs = [plan.run_directories(trial)[0] for trial in "01"]
    plain, full = (events.scalars(run.events("selection")) for run in runs)
    assert {"loss", "epoch/mrr@20"} <= plain.keys()
    assert "gradient_norm" in full.keys() - plain.keys()


def read_variables(directory):
    """Read the numbers in a directory's newest checkpoint by name, without its counter."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(directory))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (np.ndarray, np.number)) and not name.startswith("save_counter")
    }
