import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_lru import BATCH, D, N, make_inputs, make_unit, weights_of

from hln_tf.layers.choices import INFERENCE_GATES
from hln_tf.layers.leap_recurrent_unit import LeapRecurrentUnit

TIME = 6
EVERYTHING = {"return_sequences": True, "return_state": True, "return_leap_probabilities": True}
MASK = np.array([[0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0] * 6], bool)


def call(unit, inputs=None, steps=slice(None), **arguments):
    """A call in training with a mask; `steps` are those of the sessions that are passed."""
    inputs = inputs or make_inputs(TIME)
    given = {
        "noise": tf.constant(inputs.noise[:, steps], tf.float32),
        "mask": tf.constant(MASK[:, steps]),
        "constants": [tf.constant(inputs.a, tf.float32)],
        "training": True,
    }
    return unit(tf.constant(inputs.x[:, steps], tf.float32), **given | arguments)


def like(unit, **arguments):
    """A unit with other arguments and the same weights."""
    other = LeapRecurrentUnit.from_config({**unit.get_config(), **arguments})
    other.build(tf.TensorShape([BATCH, None, D]))
    for weight, value in zip(other.cell.weights, unit.cell.weights, strict=True):
        weight.assign(value)
    return other


def of_steps(values, steps):
    return values.numpy()[:, steps]


def assert_equal(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("inference_gate", INFERENCE_GATES)
def test_padding_changes_nothing_wherever_it_is(inference_gate, training, fused):
    unit = make_unit(inference_gate=inference_gate, fused=fused, **EVERYTHING)
    inputs = make_inputs(TIME)
    mask = np.tile(MASK[:1], (BATCH, 1))
    noise = np.where(mask, inputs.noise, -1e3)  # so a gate would retain
    states, last, p = call(
        unit, mask=tf.constant(mask), noise=tf.constant(noise, tf.float32), training=training
    )
    clicks = mask[0]
    expected = call(unit, steps=clicks, mask=None, training=training)
    assert_equal((of_steps(states, clicks), last, of_steps(p, clicks)), expected)
    np.testing.assert_array_equal(of_steps(p, ~clicks), 1.0)
    # The states at padding are those before.
    np.testing.assert_array_equal(states[:, 0], 0.0)
    np.testing.assert_array_equal(states[:, 3], states[:, 2])
    np.testing.assert_array_equal(states[:, 5], states[:, 4])


@pytest.mark.parametrize("fused", [True, False])
def test_without_the_preference_gate_the_aggregate_has_no_effect(fused):
    unit = make_unit(gates="leap", fused=fused, **EVERYTHING)
    assert_equal(call(unit), call(unit, constants=[tf.ones([BATCH, N])]))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("training", [False, True])
def test_without_gates_the_unit_is_keras_gru(training, fused):
    unit = make_unit(gates="none", fused=fused, **EVERYTHING)
    states, last, p = call(unit, training=training)
    gru = keras.layers.GRU(N, return_sequences=True, return_state=True)
    x = tf.constant(make_inputs(TIME).x, tf.float32)
    gru(x)
    weights = weights_of(unit.cell)
    gru.set_weights([weights["kernel"], weights["recurrent_kernel"], weights["bias"]])
    expected = gru(x, mask=tf.constant(MASK))
    np.testing.assert_allclose(states, expected[0], atol=1e-5)
    np.testing.assert_allclose(last, expected[1], atol=1e-5)
    np.testing.assert_array_equal(p, np.where(MASK, 0.0, 1.0))


@pytest.mark.parametrize("fused", [True, False])
def test_clicks_that_are_not_available_are_skipped(fused):
    unit = make_unit(fused=fused, **EVERYTHING)
    available = tf.constant([[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]] * BATCH)
    states, last, p = call(unit, mask=None, available=available)
    clicks = available[0].numpy() > 0
    expected = call(unit, steps=clicks, mask=None)
    assert_equal((of_steps(states, clicks), last, of_steps(p, clicks)), expected)
    np.testing.assert_array_equal(of_steps(p, ~clicks), 1.0)


def test_mask_of_integers_is_that_of_booleans():
    unit = make_unit(**EVERYTHING)
    assert_equal(call(unit, mask=tf.constant(MASK.astype(np.int32))), call(unit))


def test_initial_state_has_the_outputs_of_keras_before_the_first_click():
    """Keras' output is zero there, and so is that of a session that is all padding."""
    h_0 = tf.ones([BATCH, N])
    x, mask = tf.constant(make_inputs(TIME).x, tf.float32), tf.constant(MASK)
    for arguments in ({}, {"return_sequences": True}):
        unit = make_unit(gates="none", return_state=True, **arguments)
        outputs, last = unit(x, mask=mask, initial_state=[h_0])
        gru = keras.layers.GRU(N, return_state=True, **arguments)
        gru(x)
        weights = weights_of(unit.cell)
        gru.set_weights([weights["kernel"], weights["recurrent_kernel"], weights["bias"]])
        expected, last_expected = gru(x, mask=mask, initial_state=[h_0])
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        np.testing.assert_allclose(last, last_expected, atol=1e-5)
        np.testing.assert_array_equal(last[3], h_0[3])


@pytest.mark.parametrize(
    ("arguments", "returned"),
    [
        ({}, ["h"]),
        ({"return_sequences": True}, ["states"]),
        ({"return_state": True}, ["h", "h"]),
        ({"return_leap_probabilities": True}, ["h", "p"]),
        (EVERYTHING, ["states", "h", "p"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("fused", [True, False])
def test_outputs_are_those_asked_for(arguments, returned, fused):
    everything = dict(zip(("states", "h", "p"), call(make_unit(**EVERYTHING)), strict=True))
    unit = make_unit(fused=fused, **arguments)
    outputs = tf.nest.flatten(call(unit))
    assert_equal(outputs, [everything[name] for name in returned])
    shapes = unit.compute_output_shape(tf.TensorShape([BATCH, TIME, D]))
    assert [tuple(shape) for shape in tf.nest.flatten(shapes)] == [o.shape for o in outputs]
    mask = tf.constant(MASK)
    masks = tf.nest.flatten(unit.compute_mask(None, mask))
    assert [m is mask for m in masks] == [name == "states" for name in returned]


def test_unrolled_it_is_the_same():
    unit = make_unit(**EVERYTHING)
    assert_equal(call(like(unit, unroll=True)), call(unit))
    assert_equal(call(like(unit, unroll=True, return_sequences=False))[1:], call(unit)[1:])


def test_backwards_it_is_the_unit_over_reversed_sessions():
    unit = make_unit(**EVERYTHING)
    states, last, p = call(like(unit, go_backwards=True))
    back = slice(None, None, -1)
    states_expected, last_expected, p_expected = call(unit, steps=back)
    # The outputs are in the order of the steps, as Keras has them; probabilities in the inputs'.
    np.testing.assert_allclose(states, states_expected, atol=1e-5)
    np.testing.assert_allclose(last, last_expected, atol=1e-5)
    np.testing.assert_allclose(p, p_expected[:, back], atol=1e-5)


def test_time_major_it_takes_and_returns_time_first():
    unit = make_unit(**EVERYTHING)
    inputs = make_inputs(TIME)
    time_major = LeapRecurrentUnit.from_config({**unit.get_config(), "time_major": True})
    time_major.build(tf.TensorShape([TIME, BATCH, D]))
    time_major.set_weights(unit.get_weights())
    available = tf.constant(inputs.available, tf.float32)
    states, last, p = time_major(
        tf.constant(inputs.x.transpose([1, 0, 2]), tf.float32),
        mask=tf.constant(MASK.T),
        noise=tf.constant(inputs.noise.T, tf.float32),
        available=tf.transpose(available),
        constants=[tf.constant(inputs.a, tf.float32)],
        training=True,
    )
    expected = call(unit, available=available)
    assert_equal((tf.transpose(states, [1, 0, 2]), last, tf.transpose(p)), expected)


@pytest.mark.parametrize("in_graph", [False, True])
def test_stateful_it_goes_on_from_the_last_call(in_graph):
    unit = make_unit(**EVERYTHING)
    stateful = like(unit, stateful=True)

    def run(first, end):
        def part():
            return call(stateful, steps=slice(first, end), mask=None)

        return tf.function(part)() if in_graph else part()

    for _ in range(2):
        parts = [run(0, 2), run(2, TIME)]
        states, p = (tf.concat([part[index] for part in parts], axis=1) for index in (0, 2))
        assert_equal((states, parts[1][1], p), call(unit, mask=None))
        np.testing.assert_array_equal(stateful.states[0], parts[1][1])
        stateful.reset_states()


def test_zero_output_at_padding_where_asked_for():
    unit = make_unit(**EVERYTHING)
    states, last, p = call(like(unit, zero_output_for_mask=True))
    expected, last_expected, p_expected = call(unit)
    assert_equal((states, last, p), (expected * MASK[..., None], last_expected, p_expected))


def test_mixed_precision_computes_in_float16():
    unit = make_unit(dtype="mixed_float16", **EVERYTHING)
    inputs = make_inputs(TIME, is_bare=True)
    outputs = unit(inputs.x, training=True)
    assert [output.dtype for output in outputs] == 3 * [tf.float16]
    assert unit.cell.U.dtype == tf.float32
    assert np.all([np.all(np.isfinite(output)) for output in outputs])


def test_a_frozen_unit_has_no_trainable_weights():
    frozen = LeapRecurrentUnit.from_config({**make_unit().get_config(), "trainable": False})
    frozen.build(tf.TensorShape([None, None, D]))
    assert not frozen.trainable_variables
    assert len(frozen.variables) == len(make_unit().variables)


@pytest.mark.parametrize(
    ("inputs", "arguments", "error", "message"),
    [
        (
            tf.RaggedTensor.from_tensor(tf.zeros([2, 3, D])),
            {},
            ValueError,
            "`inputs` must be dense and padded, received a RaggedTensor",
        ),
        (
            tf.zeros([2, 3]),
            {},
            ValueError,
            r"`inputs` must have shape \[batch, time, d\], received \(2, 3\)",
        ),
        (
            tf.zeros([2, 3, D]),
            {"constants": 2 * [tf.zeros([2, N])]},
            ValueError,
            "`constants` must hold one tensor, received 2",
        ),
        (
            tf.zeros([2, 3, D]),
            {"initial_state": [tf.zeros([2, N + 1])]},
            ValueError,
            "`initial_state`",
        ),
    ],
    ids=["ragged", "rank", "constants", "initial_state"],
)
def test_wrong_inputs_are_refused(inputs, arguments, error, message):
    with pytest.raises(error, match=message):
        LeapRecurrentUnit(N)(inputs, **arguments)
