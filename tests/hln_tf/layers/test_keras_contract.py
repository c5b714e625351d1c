"""Every layer and loss can be made again from its config."""

import inspect
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_lru import randomised

from hln_tf import layers, tasks
from hln_tf.layers.choices import AGGREGATIONS, LOSSES

BATCH, TIME, D, N, ITEMS = 3, 4, 5, 6, 12
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return tf.constant(RANDOM.normal(size=shape), tf.float32)


X, STATES, LAST = normal(BATCH, TIME, D), normal(BATCH, TIME, N), normal(BATCH, N)
MASK = tf.constant([[True, True, False, True], [False, True, True, True], [True] * 4])
NOISE = tf.constant(RANDOM.logistic(size=(BATCH, TIME)), tf.float32)
QUERY, CANDIDATES, TARGET = normal(BATCH, D), normal(ITEMS, D), tf.constant([3, 0, 3])

# A layer, the arguments of its call, and others.
CASES = {
    "cell": (
        lambda: layers.LeapRecurrentCell(N, 0.5, -1.0, "sampled", "leap", seed=3),
        [(X[:, 0], NOISE[:, :1], tf.ones([BATCH, 1])), [LAST]],
        {"constants": [LAST]},
    ),
    "unit": (
        lambda: layers.LeapRecurrentUnit(
            *(N, 0.5, -1.0, "sampled", "both"),
            seed=3,
            return_sequences=True,
            return_state=True,
            return_leap_probabilities=True,
        ),
        [X],
        {"mask": MASK, "noise": NOISE, "constants": [LAST], "initial_state": [LAST]},
    ),
    "unfused unit": (
        lambda: layers.LeapRecurrentUnit(N, gates="none", fused=False, go_backwards=True),
        [X],
        {"mask": MASK},
    ),
    "gru": (lambda: layers.GRU(N), [X], {"mask": MASK}),
    "gru of gates": (lambda: layers.GRU(2, input_kernel=False), [STATES], {"mask": MASK}),
    "session attention": (layers.SessionAttention, [STATES], {"last": LAST, "mask": MASK}),
    "session memory": (lambda: layers.SessionMemory(7, N, 2), [LAST], {}),
    **{
        f"preference manager, {aggregation}": (
            lambda aggregation=aggregation: layers.PreferenceManager(aggregation),
            [[LAST, 2 * LAST]],
            {"ages": tf.constant([[0, 1]] * BATCH)} if aggregation == "recency" else {},
        )
        for aggregation in AGGREGATIONS
    },
    **{
        f"loss {name}": (
            lambda name=name: tasks.get(
                name, num_negatives=9, sampling_power=0.7, score_penalty=0.2
            ),
            [QUERY, CANDIDATES, TARGET],
            {},
        )
        for name in LOSSES
    },
}


def prepared(layer):
    """A loss needs the size of its catalogue."""
    if isinstance(layer, tasks.RetrievalLoss):
        layer.prepare(ITEMS)
    return layer


def call(layer, arguments, others):
    """Call a layer."""
    return tf.nest.flatten(layer(*arguments, **others))


@pytest.fixture(params=CASES)
def case(request):
    make, arguments, others = CASES[request.param]
    layer = prepared(make())
    call(layer, arguments, others)
    if isinstance(layer, tasks.RetrievalLoss):
        layer.fit_counts(np.arange(ITEMS) ** 2)
    elif isinstance(layer, layers.SessionMemory):
        layer.write(STATES[0])
    else:
        randomised(layer)
    return layer, arguments, others


def test_config_round_trip_gives_an_equal_layer(case):
    layer, arguments, others = case
    layer._name = "renamed"
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    assert config["registered_name"] == f"hln_tf>{type(layer).__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(layer)
    assert copy.name == "renamed"
    assert copy.get_config() == layer.get_config()
    call(prepared(copy), arguments, others)
    copy.set_weights(layer.get_weights())
    expected = call(layer, arguments, others)
    for ours, originals in zip(call(copy, arguments, others), expected, strict=True):
        np.testing.assert_array_equal(ours, originals)


def test_config_has_every_argument_of_the_constructor(case):
    layer, _, _ = case
    parameters = inspect.signature(type(layer)).parameters.values()
    names = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    assert names - {"negatives"} <= set(layer.get_config())


def test_config_has_the_type_and_whether_it_is_trained(case):
    layer, _, _ = case
    config = layer.get_config() | {"dtype": "float64", "trainable": False}
    copy = type(layer).from_config(config)
    assert (copy.dtype, copy.trainable) == ("float64", False)
    assert copy.get_config() == config


def test_an_unknown_argument_is_refused(case):
    layer, _, _ = case
    with pytest.raises(TypeError, match="wrong"):
        type(layer).from_config({**layer.get_config(), "wrong": 1})
