import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers import LeapRecurrentUnit
from hln_tf.layers.keras_2 import require_keras_2


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
