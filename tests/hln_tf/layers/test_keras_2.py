import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers import (
    GRU,
    LeapRecurrentCell,
    LeapRecurrentUnit,
    PreferenceManager,
    SessionAttention,
    SessionMemory,
)
from hln_tf.layers.keras_2 import require_keras_2
from hln_tf.models import HLN
from hln_tf.tasks import FullSoftmax


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: keras_3.Input([None, 3]), "KerasTensor"),
        (lambda: keras_3.layers.Dense(3), "Dense"),
        (lambda: keras_3.optimizers.Adam(), "Adam"),
        (lambda: keras_3.callbacks.EarlyStopping(), "EarlyStopping"),
        (lambda: type("Own", (keras_3.layers.Layer,), {})(), "Own"),
    ],
)
def test_what_is_of_keras_3_is_refused_by_name(make, name):
    with pytest.raises(TypeError, match=rf"`thing` is {name} of Keras 3, .*import tf_keras"):
        require_keras_2(make(), "`thing`")


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "adam",
        np.zeros(2),
        tf.zeros(2),
        keras.layers.Dense(3),
        keras.Input([None, 3]),
        keras.optimizers.Adam(),
        keras.callbacks.EarlyStopping(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_accepted(value):
    require_keras_2(value, "`thing`")


@pytest.mark.parametrize("name", ["inputs", "initial_state", "constants"])
def test_a_unit_refuses_tensors_of_keras_3(name):
    arguments = {"inputs": keras.Input([None, 3])}
    wrong = keras_3.Input([None, 3] if name == "inputs" else [4])
    arguments[name] = wrong if name == "inputs" else [wrong]
    with pytest.raises(TypeError, match=f"`{name}` is KerasTensor of Keras 3"):
        LeapRecurrentUnit(4)(**arguments)


class Around(keras_3.layers.Layer):
    """A layer of Keras 3 that calls one of the package."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class CalledByKeras3(keras_3.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


X = np.ones([2, 3, 4], np.float32)


def fit_around(layer):
    model = CalledByKeras3(layer)
    model.compile("sgd", "mse")
    model.fit(X, np.ones([2, 6], np.float32), verbose=0)


@pytest.mark.parametrize(
    ("action", "around"),
    [
        (lambda: keras_3.layers.RNN(LeapRecurrentCell(6)), "RNN"),
        (lambda: Around(LeapRecurrentUnit(6))(X), "Around"),
        (lambda: Around(GRU(6))(keras_3.Input([3, 4])), "Around"),
        (lambda: Around(HLN(9, embedding_dim=2, hidden_dim=2))(np.ones([1, 2], int)), "Around"),
        (lambda: fit_around(LeapRecurrentUnit(6)), "CalledByKeras3"),
    ],
    ids=["RNN of a cell", "layer", "functional", "around a model", "fit"],
)
def test_a_layer_of_keras_3_around_one_of_the_package_is_refused(action, around):
    expected = rf"the layer around \w+ is {around} of Keras 3, but .*import tf_keras as keras"
    with pytest.raises(TypeError, match=expected):
        action()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: GRU(4), "x"),
        (lambda: PreferenceManager(), "preferences"),
        (lambda: SessionMemory(3, 4, 2), "keys"),
        (lambda: SessionAttention(), "states"),
        (lambda: HLN(9, embedding_dim=2, hidden_dim=2), "inputs"),
        (lambda: FullSoftmax(), "query"),
    ],
    ids=["GRU", "PreferenceManager", "SessionMemory", "SessionAttention", "HLN", "FullSoftmax"],
)
def test_every_layer_refuses_tensors_of_keras_3(make, argument):
    with pytest.raises(TypeError, match=f"^`{argument}` is KerasTensor of Keras 3"):
        make()(keras_3.Input([3, 4]))


def test_a_callback_of_keras_3_may_use_a_layer():
    """It does not contain the layer, whose weights it could not train anyway."""
    called = []

    class Callback(keras_3.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            called.append(LeapRecurrentUnit(6)(X).shape)

    model = keras_3.Sequential([keras_3.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones([3, 4]), np.ones([3, 2]), verbose=0, callbacks=[Callback()])
    assert called == [(2, 6)]
