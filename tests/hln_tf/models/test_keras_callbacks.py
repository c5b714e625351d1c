"""HLN in Keras' `fit` with Keras' callbacks, on several replicas, and with seeds."""

import json
from typing import NamedTuple

import events
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from commands import finish, start
from tiny_models import dicts, examples, make

TRAIN, VALIDATION = dicts(*examples()), dicts(*examples(1))
MONITOR, LEARNING_RATE, EPOCHS = "val_mrr@20", 0.02, 4


class WeightsOfEpochs(keras.callbacks.Callback):
    """Records the weights after each epoch."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(weights_of(self.model))


def weights_of(model):
    return {weight.name: weight.numpy() for weight in model.trainable_weights}


class Expected(NamedTuple):
    """A fit without other callbacks: its history, and the weights after each epoch."""

    history: dict
    weights: list


def fit(model, *callbacks, epochs=EPOCHS):
    options = {"validation_data": VALIDATION, "callbacks": list(callbacks), "verbose": 0}
    return model.fit(TRAIN, epochs=epochs, **options)


def compiled_hln(**arguments):
    model = make("hln", **arguments)
    model.compile(keras.optimizers.Adam(LEARNING_RATE))
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def only_model(tmp_path_factory):
    """The one model of most tests, as compiling its verbs takes longest, and its first state."""
    model = compiled_hln(seed=1)
    path = str(tmp_path_factory.mktemp("initial") / "state")
    return model, tf.train.Checkpoint(model=model).write(path)


@pytest.fixture
def model(only_model):
    """The model with the weights, the optimiser and the seeds with which it was made."""
    model, state = only_model
    tf.train.Checkpoint(model=model).read(state).assert_consumed()
    return model


@pytest.fixture(scope="module")
def expected(only_model):
    record = WeightsOfEpochs()
    return Expected(fit(only_model[0], record).history, record.weights)


def assert_weights(model, expected):
    found = weights_of(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


class Falling(keras.callbacks.Callback):
    """Makes MRR fall after the second epoch, for the callbacks after it."""

    def on_epoch_end(self, epoch, logs):
        logs[MONITOR] = [0.2, 0.3, 0.25, 0.2][epoch]


def test_early_stopping_restores_the_best_epoch(expected, model):
    stopping = keras.callbacks.EarlyStopping(
        monitor=MONITOR, mode="max", patience=1, restore_best_weights=True
    )
    assert fit(model, Falling(), stopping).epoch == [0, 1, 2]
    assert stopping.best_epoch == 1
    assert_weights(model, expected.weights[1])


def test_the_learning_rate_is_reduced_on_a_plateau(model):
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor=MONITOR, mode="max", patience=1, factor=0.1, min_delta=0.0
    )
    rates = fit(model, Falling(), plateau).history["lr"]
    assert rates == pytest.approx([LEARNING_RATE] * 3 + [LEARNING_RATE / 10])


def test_a_learning_rate_schedule_has_an_effect(expected, model):
    def schedule(epoch, learning_rate):
        return learning_rate if epoch < 2 else 0.0

    history = fit(model, keras.callbacks.LearningRateScheduler(schedule)).history
    assert history["lr"] == pytest.approx([LEARNING_RATE, LEARNING_RATE, 0.0, 0.0])
    assert_weights(model, expected.weights[1])


@pytest.mark.parametrize("is_weights", [True, False])
def test_a_checkpoint_has_the_best_epoch(expected, model, tmp_path, is_weights):
    path = str(tmp_path / ("best.weights.h5" if is_weights else "best.keras"))
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor=MONITOR, mode="max", save_best_only=True, save_weights_only=is_weights
    )
    fit(model, Falling(), checkpoint)
    if is_weights:
        loaded = make("hln")
        loaded.load_weights(path)
    else:
        loaded = keras.models.load_model(path)
        assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) / 2
    for found, wanted in zip(loaded.trainable_weights, expected.weights[1].values(), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=found.name)


def test_tensorboard_has_validation_mrr(model, tmp_path):
    history = fit(model, keras.callbacks.TensorBoard(tmp_path), epochs=2).history
    validation, train = (events.scalars(tmp_path / part) for part in ("validation", "train"))
    assert [value for _, value in validation["epoch_mrr@20"]] == pytest.approx(history[MONITOR])
    assert [value for _, value in validation["epoch_loss"]] == pytest.approx(history["val_loss"])
    assert [value for _, value in train["epoch_loss"]] == pytest.approx(history["loss"])


class Interrupt(keras.callbacks.Callback):
    """Ends a fit when the third epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_fit_resumes_from_its_backup(expected, only_model, model, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(model, keras.callbacks.BackupAndRestore(tmp_path), Interrupt())
    tf.train.Checkpoint(model=model).read(only_model[1]).assert_consumed()
    history = fit(model, keras.callbacks.BackupAndRestore(tmp_path))
    assert history.epoch == [2, 3]
    assert history.history == {name: each[2:] for name, each in expected.history.items()}
    assert_weights(model, expected.weights[3])


@pytest.mark.parametrize("how", ["seed", "keras.utils.set_random_seed"])
@pytest.mark.slow
def test_a_seed_fixes_a_fit(how):
    losses = []
    for seed in (7, 7, 8):
        keras.utils.set_random_seed(7 if how == "seed" else seed)
        model = compiled_hln(seed=seed if how == "seed" else None, num_groups=1)
        losses.append(model.fit(TRAIN, epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1] != losses[2]


# Two logical devices; of the last batch one has nothing.
ON_TWO_DEVICES = """
import json
import sys

sys.path.insert(0, "tests")
import hln_tf
import numpy as np
import tensorflow as tf
import tf_keras as keras
from tiny_models import dicts, examples, make

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def fit(strategy, weights=None):
    with strategy.scope():
        model = make(sys.argv[1], **json.loads(sys.argv[2]))
        model.compile(keras.optimizers.SGD(0.5))
    if weights is not None:
        model.set_weights(weights)
    initial = model.get_weights()
    data = dicts(*examples(count=65)), dicts(*examples(1, count=49))
    history = model.fit(data[0], epochs=3, validation_data=data[1], verbose=0).history
    return initial, history, model.get_weights()


initial, expected, one_device = fit(tf.distribute.get_strategy())
_, found, two_devices = fit(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), initial)
assert found.keys() == expected.keys()
for name, values in expected.items():
    np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)
for one, other in zip(one_device, two_devices, strict=True):
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
"""


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # Noise differs between one and two devices, but cannot change gates with this bias.
        ("hln", {"leap_bias": -40.0}),
        # Its memory stores the sessions of both devices.
        pytest.param("csrm", {}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_two_replicas_fit_as_one_does(name, arguments):
    outcome = finish(start(ON_TWO_DEVICES, name, json.dumps(arguments)))
    assert outcome.code == 0, outcome.err
