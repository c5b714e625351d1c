import dataclasses

import events
import numpy as np
import pytest

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt
from hln_tf.training.settings import TensorBoardSettings
from tuning.plan import EPOCHS, PARENT
from tuning.search import trainer
from tuning.trial import TrialError, failure, run_trial

DRAWN = {"learning_rate": 0.01, "aggregation": "max"}


def crashes(plan):
    return int((plan.run("0").path / "crashes").read_text())


def test_the_count_of_crashes_is_one_more_while_a_trial_is_under_way(make_plan):
    plan = make_plan()
    assert run_trial(plan, "0", DRAWN, lambda config, run: crashes(plan)) == 1
    assert crashes(plan) == 0


def test_a_trial_fails_once_its_process_has_died_twice(make_plan):
    plan, ran = make_plan(), []
    run_trial(plan, "0", DRAWN, lambda config, run: 0.5)
    for left, expected in ((1, [0.5]), (2, [0.5])):
        (plan.run("0").path / "crashes").write_text(f"{left}\n")
        if left == 2:
            with pytest.raises(TrialError, match="died 2 times"):
                run_trial(plan, "0", DRAWN, lambda config, run: ran.append(1))
        else:
            assert [run_trial(plan, "0", DRAWN, lambda config, run: 0.5)] == expected
    assert not ran


def test_a_signal_is_no_crash_and_no_failure(make_plan):
    plan = make_plan()

    def stopped(config, run):
        raise TrainingInterrupt(15)

    with pytest.raises(TrainingInterrupt):
        run_trial(plan, "0", DRAWN, stopped)
    assert crashes(plan) == 0
    assert not (plan.run("0").path / "failure.txt").exists()


def test_a_trial_at_another_process_is_left_alone(make_plan):
    plan = make_plan()
    with plan.run("0").locked(), pytest.raises(HlnError, match="in use") as caught:
        run_trial(plan, "0", DRAWN, lambda config, run: 0.5)
    assert not isinstance(caught.value, TrialError)


def test_a_data_set_that_is_unusable_fails_no_trial(make_plan, tmp_path):
    plan = dataclasses.replace(make_plan(), data_dir=tmp_path / "gone")
    with pytest.raises(HlnError, match="python -m beam_preprocess") as caught:
        run_trial(plan, "0", DRAWN, lambda config, run: 0.5)
    assert not isinstance(caught.value, TrialError)
    assert not (plan.run("0").path / "failure.txt").exists()


def test_an_error_of_the_training_is_the_reason(make_plan):
    def diverged(config, run):
        raise HlnError("the loss is nan in epoch 1 at step 3: lower --learning_rate")

    plan = make_plan()
    with pytest.raises(TrialError, match="the loss is nan in epoch 1"):
        run_trial(plan, "0", DRAWN, diverged)
    assert failure(plan.run("0")) == "the loss is nan in epoch 1 at step 3: lower --learning_rate"
    assert "Traceback" not in (plan.run("0").path / "failure.txt").read_text()


def test_a_promoted_trial_does_what_one_of_more_epochs_does(make_plan):
    plan = make_plan("hyperband")
    with StopOnSignal() as stop:
        train = trainer(plan, stop, TensorBoardSettings())
        run_trial(plan, "0", {**DRAWN, EPOCHS: 1}, train)
        parted = run_trial(plan, "1", {**DRAWN, EPOCHS: 3, PARENT: "0"}, train)
        whole = run_trial(plan, "2", {**DRAWN, EPOCHS: 3}, train)
    assert parted == whole
    states = [read_state(plan.run(number).path / "selection" / "latest") for number in "12"]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)
    rates = [plan.base.training.learning_rate_at(epoch) for epoch in range(3)]
    assert len(set(rates)) == 3, "the learning rate falls with each epoch"


def test_tensorboard_is_told_of_trials_what_is_asked(make_plan):
    plan = make_plan()
    with StopOnSignal() as stop:
        for trial, told in (
            ("0", TensorBoardSettings()),
            ("1", TensorBoardSettings(tensorboard=True)),
        ):
            run_trial(plan, trial, DRAWN, trainer(plan, stop, told))
    plain, full = (events.scalars(plan.run(trial).events("selection")) for trial in "01")
    assert {"loss", "epoch/mrr@20"} <= plain.keys()
    assert "gradient_norm" in full.keys() - plain.keys()


def read_state(directory):
    import tensorflow as tf
    from commands import weights

    return {
        name: value
        for name, value in weights(tf.train.latest_checkpoint(directory)).items()
        if "save_counter" not in name and "progress" not in name
    }
