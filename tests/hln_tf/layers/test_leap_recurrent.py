import json

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import UsageError
from hln_tf.layers.leap_recurrent import INFERENCE_GATES, LeapRecurrentCell, LeapRecurrentUnit

D, N = 3, 4
BATCH, TIME = 5, 6


def randomised(layer, seed=0):
    """The layer with every weight, also those that start at zero, drawn at random."""
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return layer


def biases(bias, cell):
    """The two biases of Keras' GRU, of which c is the only part that is one of its own."""
    return np.stack([bias, np.concatenate([np.zeros(2 * N), cell.c.numpy()])])


def make_unit(**kwargs):
    unit = LeapRecurrentUnit(N, **kwargs)
    run(unit, np.zeros((1, 1, D)))
    return randomised(unit)


def run(unit, x, a=None, noise=None, mask=None, training=False):
    batch, time = np.shape(x)[:2]
    x = tf.constant(x, tf.float32)
    h_last, logits = unit(
        x,
        projected=unit.project(x),
        a=tf.zeros([batch, N]) if a is None else tf.constant(a, tf.float32),
        noise=tf.zeros([batch, time]) if noise is None else tf.constant(noise, tf.float32),
        mask=tf.ones([batch, time], bool) if mask is None else tf.constant(mask),
        training=training,
    )
    return h_last.numpy(), logits.numpy()


def weights_of(unit):
    return {
        "W_p": unit.W_p.numpy(),
        "U_p": unit.U_p.numpy(),
        "w_q": unit.cell.w_q.numpy(),
        "u_q": unit.u_q.numpy(),
        "b": unit.b.numpy(),
        "kernel": unit.kernel.numpy(),
        "recurrent_kernel": unit.cell.U.numpy(),
        "bias": biases(unit.bias.numpy(), unit.cell),
    }


def expected_pass(x, a, gates, weights):
    """One pass of the reference over one session: h_last, the probabilities, the gates."""
    h, p, used = np.zeros(N), [], []
    for t, x_t in enumerate(x):
        p.append(
            reference.leap_probability(h, x_t, reference.preference_gate(x_t, a, weights), weights)
        )
        used.append(reference.likeliest_gate(p[-1]) if gates is None else gates[t])
        h = reference.lru_step(h, x_t, used[-1], weights)
    return h, p, used


def inputs(seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(BATCH, TIME, D)), random.normal(size=(BATCH, N))


@pytest.mark.parametrize("layer", [LeapRecurrentCell, LeapRecurrentUnit])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be at least 1, received 0"),
        ({"units": 4, "temperature": 0.0}, "`temperature` must be above 0, received 0.0"),
        ({"units": 4, "temperature": float("nan")}, "`temperature` must be above 0, received nan"),
        ({"units": 4, "inference_gate": "soft"}, "`inference_gate` must be .*, received 'soft'"),
    ],
)
def test_bad_arguments_are_refused(layer, arguments, message):
    with pytest.raises(UsageError, match=message):
        layer(**arguments)


def test_unknown_gates_are_refused():
    with pytest.raises(UsageError, match=r"`gates` must be one of .*, received 'some'"):
        LeapRecurrentUnit(4, gates="some")


def test_cell_leaps_or_takes_the_gru_step():
    cell = LeapRecurrentCell(N)
    h = np.random.default_rng(0).normal(size=(2, N)).astype(np.float32)
    gru_input = np.random.default_rng(1).normal(size=(2, 3 * N)).astype(np.float32)
    noise = np.array([[1e3], [-1e3]], np.float32)
    step = (gru_input, np.zeros((2, 1), np.float32), noise)
    cell(step, [h], training=True)
    randomised(cell)

    _, [state] = cell(step, [h], training=True)

    np.testing.assert_array_equal(state[0], h[0])
    weights = {
        "kernel": np.eye(3 * N),
        "recurrent_kernel": cell.U.numpy(),
        "bias": biases(np.zeros(3 * N), cell),
    }
    np.testing.assert_allclose(state[1], reference.gru_step(h[1], gru_input[1], weights), atol=1e-6)


def test_gru_step_is_that_of_keras():
    cell = LeapRecurrentCell(N)
    h = tf.random.stateless_normal([2, N], [0, 0])
    x = tf.random.stateless_normal([2, 3 * N], [0, 1])
    cell.build(None)
    randomised(cell).w_q.assign(tf.zeros([N]))
    gru = keras.layers.GRUCell(N, reset_after=True)
    gru(x, [h])
    gru.set_weights([np.eye(3 * N), cell.U.numpy(), biases(np.zeros(3 * N), cell)])
    _, [state] = cell((x, tf.fill([2, 1], -1.0), tf.zeros([2, 1])), [h])
    np.testing.assert_allclose(state, gru(x, [h])[0], atol=1e-6)


def test_cell_in_a_plain_rnn_layer_walks_through_time():
    cell = LeapRecurrentCell(N)
    random = np.random.default_rng(2)
    steps = (
        random.normal(size=(BATCH, TIME, 3 * N)).astype(np.float32),
        random.normal(size=(BATCH, TIME, 1)).astype(np.float32),
        random.logistic(size=(BATCH, TIME, 1)).astype(np.float32),
    )
    rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    rnn(steps, training=True)
    randomised(cell)

    logits, last = rnn(steps, training=True)

    state = tf.zeros([BATCH, N])
    for t in range(TIME):
        logit, [state] = cell([part[:, t] for part in steps], [state], training=True)
        np.testing.assert_allclose(logits[:, t], logit, atol=1e-5)
    np.testing.assert_allclose(last, state, atol=1e-5)


def test_given_gates_lead_where_the_reference_leads():
    unit, (x, a) = make_unit(), inputs()
    gates = np.random.default_rng(3).integers(0, 2, (BATCH, TIME))
    h, logits = run(unit, x, a, noise=np.where(gates == 1, 1e3, -1e3), training=True)
    for row in range(BATCH):
        h_row, p, _ = expected_pass(x[row], a[row], gates[row], weights_of(unit))
        np.testing.assert_allclose(h[row], h_row, atol=1e-5)
        np.testing.assert_allclose(tf.sigmoid(logits[row]), p, atol=1e-5)


def test_hard_gate_takes_the_likelier_choice():
    unit, (x, a) = make_unit(inference_gate="hard"), inputs()
    h, logits = run(unit, x, a, noise=np.full((BATCH, TIME), 1e3))
    gates = []
    for row in range(BATCH):
        h_row, p, used = expected_pass(x[row], a[row], None, weights_of(unit))
        np.testing.assert_allclose(h[row], h_row, atol=1e-5)
        np.testing.assert_allclose(tf.sigmoid(logits[row]), p, atol=1e-5)
        gates += used
    assert {0, 1} == set(gates)


def test_hard_gate_keeps_on_a_tie():
    unit = make_unit(inference_gate="hard")
    for weight in (unit.cell.w_q, unit.u_q, unit.b):
        weight.assign(tf.zeros_like(weight))
    x, a = inputs()
    h, logits = run(unit, x, a)
    np.testing.assert_array_equal(logits, 0.0)
    expected, _, _ = expected_pass(x[0], a[0], [0] * TIME, weights_of(unit))
    np.testing.assert_allclose(h[0], expected, atol=1e-5)


def test_expected_gate_mixes_by_the_probability():
    unit, (x, a) = make_unit(inference_gate="expected"), inputs()
    h, logits = run(unit, x, a, noise=np.full((BATCH, TIME), 1e3))
    weights = weights_of(unit)
    for row in range(BATCH):
        state = np.zeros(N)
        for t, x_t in enumerate(x[row]):
            g_p = reference.preference_gate(x_t, a[row], weights)
            p = reference.leap_probability(state, x_t, g_p, weights)
            np.testing.assert_allclose(tf.sigmoid(logits[row, t]), p, atol=1e-5)
            state = p * state + (1 - p) * reference.gru_step(state, x_t, weights)
        np.testing.assert_allclose(h[row], state, atol=1e-5)


def test_sampled_gate_at_inference_is_the_gate_of_training():
    unit, (x, a) = make_unit(inference_gate="sampled"), inputs()
    noise = np.random.default_rng(4).logistic(size=(BATCH, TIME))
    np.testing.assert_array_equal(
        run(unit, x, a, noise)[0], run(unit, x, a, noise, training=True)[0]
    )


@pytest.mark.parametrize("inference_gate", ["hard", "expected"])
def test_training_samples_whatever_the_inference_gate(inference_gate):
    unit, (x, a) = make_unit(inference_gate=inference_gate), inputs()
    leap_all, _ = run(unit, x, a, noise=np.full((BATCH, TIME), 1e3), training=True)
    np.testing.assert_array_equal(leap_all, 0.0)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("inference_gate", INFERENCE_GATES)
def test_padded_steps_are_leapt_whatever_the_noise(inference_gate, training):
    unit, (x, a) = make_unit(inference_gate=inference_gate), inputs()
    noise = np.random.default_rng(5).logistic(size=(BATCH, TIME))
    mask = np.array([False, True, True, False, True, False] * BATCH).reshape(BATCH, TIME)
    noise_at_padding = np.where(mask, noise, -1e3)
    h, logits = run(unit, x, a, noise_at_padding, mask, training)
    kept = mask[0]
    h_of_clicks, logits_of_clicks = run(unit, x[:, kept], a, noise[:, kept], training=training)
    np.testing.assert_allclose(h, h_of_clicks, atol=1e-6)
    np.testing.assert_allclose(logits[:, kept], logits_of_clicks, atol=1e-6)
    np.testing.assert_array_equal(1 - tf.sigmoid(logits[:, ~kept]), 0.0)


def test_without_the_preference_gate_items_pass_whole():
    unit, (x, a) = make_unit(gates="leap"), inputs()
    weights = {
        "w_q": unit.cell.w_q.numpy(),
        "u_q": unit.u_q.numpy(),
        "b": unit.b.numpy(),
        "kernel": unit.kernel.numpy(),
        "recurrent_kernel": unit.cell.U.numpy(),
        "bias": biases(unit.bias.numpy(), unit.cell),
    }
    h, logits = run(unit, x, a)
    for row in range(BATCH):
        state = np.zeros(N)
        for t, x_t in enumerate(x[row]):
            p = reference.leap_probability(state, x_t, np.ones(D), weights)
            np.testing.assert_allclose(tf.sigmoid(logits[row, t]), p, atol=1e-5)
            state = reference.lru_step(state, x_t, reference.likeliest_gate(p), weights)
        np.testing.assert_allclose(h[row], state, atol=1e-5)
    np.testing.assert_array_equal(h, run(unit, x, 2 * a)[0])


@pytest.mark.parametrize("training", [False, True])
def test_without_gates_the_unit_is_a_gru(training):
    unit, (x, a) = make_unit(gates="none"), inputs()
    noise = np.random.default_rng(4).logistic(size=(BATCH, TIME))
    mask = np.arange(TIME) < np.arange(2, 2 + BATCH)[:, None]
    h, logits = run(unit, x, a, noise=noise, mask=mask, training=training)
    np.testing.assert_array_equal(tf.sigmoid(logits), np.where(mask, 0.0, 1.0))
    gru = keras.layers.GRU(N)
    gru(x[:1])
    bias = biases(unit.bias.numpy(), unit.cell)
    gru.set_weights([unit.kernel.numpy(), unit.cell.U.numpy(), bias])
    expected = gru(tf.constant(x, tf.float32), mask=tf.constant(mask))
    np.testing.assert_allclose(h, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("gates", "missing"), [("leap", {"W_p", "U_p"}), ("none", {"W_p", "U_p", "u_q", "b", "w_q"})]
)
def test_a_gate_that_is_off_has_no_weights(gates, missing):
    def names(unit):
        return {weight.name.split("/")[-1].split(":")[0] for weight in unit.weights}

    assert names(make_unit()) - names(make_unit(gates=gates)) == missing


def test_leap_bias_is_where_b_starts():
    unit = LeapRecurrentUnit(N, leap_bias=-1.5)
    run(unit, np.zeros((1, 1, D)))
    assert unit.b.numpy() == -1.5
    assert unit.b.trainable


def test_cell_config_round_trip():
    cell = LeapRecurrentCell(N, temperature=0.5, inference_gate="sampled", name="step")
    steps = (np.ones((1, 3 * N), "f"), np.ones((1, 1), "f"), np.full((1, 1), -0.5, "f"))
    h = np.ones((1, N), np.float32)
    cell(steps, [h])
    randomised(cell)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(cell)))
    copy = keras.saving.deserialize_keras_object(config)
    copy(steps, [h])
    copy.set_weights(cell.get_weights())
    assert (copy.units, copy.temperature, copy.inference_gate, copy.name) == (
        N,
        0.5,
        "sampled",
        "step",
    )
    for ours, theirs in zip(
        tf.nest.flatten(cell(steps, [h])), tf.nest.flatten(copy(steps, [h])), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_unit_config_round_trip():
    unit = make_unit(temperature=0.5, leap_bias=-2.0, inference_gate="expected", name="unit")
    x, a = inputs()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(unit)))
    copy = keras.saving.deserialize_keras_object(config)
    run(copy, x, a)
    assert copy.b.numpy() == -2.0
    copy.set_weights(unit.get_weights())
    assert copy.name == "unit"
    assert copy.cell.temperature == 0.5
    for ours, theirs in zip(run(unit, x, a), run(copy, x, a), strict=True):
        np.testing.assert_array_equal(ours, theirs)
