import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
from small_lru import D, N, randomised, weights_of

from hln_tf.layers.leap_recurrent_cell import LeapRecurrentCell
from hln_tf.layers.leap_recurrent_unit import LeapRecurrentUnit
from hln_tf.layers.relaxed_bernoulli import RelaxedBernoulli

BATCH = 2000


def make_cell(**arguments):
    cell = LeapRecurrentCell(N, **arguments)
    cell.build(tf.TensorShape([None, D]))
    return randomised(cell)


def one_click(batch=BATCH, seed=1):
    """The same click, state and aggregate in every row."""
    random = np.random.default_rng(seed)
    rows = [random.normal(size=(1, size)) for size in (D, N, N)]
    return [tf.repeat(tf.constant(row, tf.float32), batch, axis=0) for row in rows]


def skipped(h, before):
    """Whether a row's state is the one before, bit for bit."""
    return np.all(h.numpy() == before.numpy(), axis=1)


@pytest.mark.parametrize("layer", [LeapRecurrentCell, LeapRecurrentUnit])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be an integer of at least 1, received 0"),
        ({"units": 2.5}, "`units` must be an integer of at least 1, received 2.5"),
        ({"units": "4"}, "`units` must be an integer of at least 1, received '4'"),
        ({"units": 4, "temperature": 0.0}, "`temperature` must be above 0, received 0.0"),
        ({"units": 4, "temperature": float("nan")}, "`temperature` must be above 0, received nan"),
        ({"units": 4, "inference_gate": "soft"}, "`inference_gate` must be .*, received 'soft'"),
        ({"units": 4, "gates": "some"}, r"`gates` must be one of .*, received 'some'"),
    ],
)
def test_bad_arguments_are_refused(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


@pytest.mark.parametrize("layer", [keras.layers.RNN(LeapRecurrentCell(N)), LeapRecurrentUnit(N)])
def test_an_unknown_size_of_item_embeddings_is_refused(layer):
    with pytest.raises(ValueError, match="the last dimension of `inputs` must be known"):
        layer(keras.Input([None, None]))


def test_a_step_by_hand():
    cell = make_cell()
    weights = weights_of(cell)
    x, h, a = one_click(2)
    noise = tf.constant([[1e3], [-1e3]])
    output, [state] = cell((x, noise, tf.ones([2, 1])), [h], constants=[a], training=True)
    np.testing.assert_array_equal(output, state)
    np.testing.assert_array_equal(state[0], h[0])
    gru = reference.gru_step(h[1].numpy(), x[1].numpy(), weights)
    np.testing.assert_allclose(state[1], gru, atol=1e-5)
    gate = reference.preference_gate(x[0].numpy(), a[0].numpy(), weights)
    logit = reference.leap_logit(h[0].numpy(), x[0].numpy(), gate, weights)
    np.testing.assert_allclose(cell.leap_logit(x, h, a), [[logit], [logit]], atol=1e-5)


def test_without_a_leap_it_is_the_gru_of_keras():
    cell = make_cell(gates="none")
    x, h, _ = one_click(2)
    gru = keras.layers.GRUCell(N, reset_after=True)
    gru(x, [h])
    weights = weights_of(cell)
    gru.set_weights([weights["kernel"], weights["recurrent_kernel"], weights["bias"]])
    np.testing.assert_allclose(cell(x, [h], training=True)[0], gru(x, [h])[0], atol=1e-5)


def test_an_unavailable_click_is_skipped_whatever_the_gate():
    cell = make_cell()
    x, h, a = one_click(2)
    available = tf.constant([[0.0], [1.0]])
    noise = tf.fill([2, 1], -1e3)
    state, _ = cell((x, noise, available), [h], constants=[a], training=True)
    np.testing.assert_array_equal(skipped(state, h), [True, False])


def test_hard_gate_retains_on_a_tie():
    cell = make_cell(inference_gate="hard")
    for weight in (cell.w_q, cell.u_q, cell.b):
        weight.assign(tf.zeros_like(weight))
    x, h, a = one_click(1)
    np.testing.assert_array_equal(cell.leap_logit(x, h, a), [[0.0]])
    assert not skipped(cell(x, [h], constants=[a])[0], h)


@pytest.mark.parametrize("logit", [-1.5, -0.2, 0.0, 1.0])
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_clicks_are_skipped_as_often_as_the_leap_probability_says(logit, temperature):
    """Over 25 seeds and 2,000 rows each; the shares of the seeds differ, so their noise does."""
    shares = []
    x, h, a = one_click()
    for seed in range(25):
        cell = make_cell(temperature=temperature, seed=seed)
        cell.b.assign_add(logit - cell.leap_logit(x, h, a)[0, 0])
        state, _ = cell(x, [h], constants=[a], training=True)
        shares.append(np.mean(skipped(state, h)))
    p = 1 / (1 + np.exp(-logit))
    error = np.sqrt(p * (1 - p) / BATCH)
    np.testing.assert_allclose(np.mean(shares), p, atol=4 * error / np.sqrt(len(shares)))
    assert 0.5 * error < np.std(shares) < 1.6 * error


def test_noise_differs_from_row_to_row_and_from_call_to_call():
    cell = make_cell(seed=3)
    x, h, a = one_click()
    cell.b.assign_sub(cell.leap_logit(x, h, a)[0, 0])
    first, second = (skipped(cell(x, [h], constants=[a], training=True)[0], h) for _ in range(2))
    np.testing.assert_allclose(np.mean(first == second), 0.5, atol=0.05)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_gate_is_the_straight_through_sample_of_the_relaxed_bernoulli(temperature, training):
    cell = make_cell(temperature=temperature, inference_gate="sampled")
    random = np.random.default_rng(4)
    x, h, a = (tf.constant(random.normal(size=(9, n)), tf.float32) for n in (D, N, N))
    noise = tf.constant(random.logistic(size=(9, 1)), tf.float32)
    weight = tf.constant(random.normal(size=(9, N)), tf.float32)

    def gradients(run):
        with tf.GradientTape() as tape:
            tape.watch([x, h, a])
            state = run()
            total = tf.reduce_sum(weight * state)
        return state, tape.gradient(total, [x, h, a, *cell.weights])

    def by_the_distribution():
        logit = cell.leap_logit(x, h, a)
        g = RelaxedBernoulli(temperature, logits=logit).straight_through(noise)
        gru = gru_of_cell(cell, x, h)
        return g * h + (1 - g) * gru

    step = (x, noise, tf.ones([9, 1]))
    found = gradients(lambda: cell(step, [h], constants=[a], training=training)[0])
    expected = gradients(by_the_distribution)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # By hand: the derivative by the bias b is that of the relaxed sample, at either gate.
    relaxed = 1 / (1 + np.exp(-(cell.leap_logit(x, h, a) + noise) / temperature))
    slope = relaxed * (1 - relaxed) / temperature
    by_b = np.sum(weight * (h - gru_of_cell(cell, x, h)) * slope)
    index = [v.ref() for v in cell.weights].index(cell.b.ref())
    np.testing.assert_allclose(found[1][3 + index], by_b, rtol=1e-4)


def gru_of_cell(cell, x, h):
    """A step of Keras' GRU with the cell's weights, differentiable."""
    from_x = tf.split(x @ cell.kernel + cell.bias, 3, axis=1)
    from_h = tf.split(h @ cell.U, 3, axis=1)
    z, r = (tf.sigmoid(from_x[i] + from_h[i]) for i in (0, 1))
    return z * h + (1 - z) * tf.tanh(from_x[2] + r * (from_h[2] + cell.c))


def test_saturated_logits_have_finite_gradients():
    cell = make_cell()
    x, h, a = one_click(1)
    for bias in (-1e30, -1e4, 1e4, 1e30):
        cell.b.assign(bias)
        with tf.GradientTape() as tape:
            state, _ = cell(x, [h], constants=[a], training=True)
        assert np.all(np.isfinite(state))
        for gradient in tape.gradient(state, cell.trainable_variables):
            assert np.all(np.isfinite(gradient))


def test_in_a_plain_rnn_layer_the_aggregate_is_zero_without_constants():
    random = np.random.default_rng(2)
    x = tf.constant(random.normal(size=(3, 6, D)), tf.float32)
    rnn = keras.layers.RNN(LeapRecurrentCell(N, seed=1), return_sequences=True)
    rnn(x)
    randomised(rnn.cell)
    np.testing.assert_array_equal(rnn(x), rnn(x, constants=[tf.zeros([3, N])]))
    assert np.any(rnn(x) != rnn(x, constants=[tf.ones([3, N])]))


@pytest.mark.parametrize(
    ("gates", "missing"), [("leap", {"W_p", "U_p"}), ("none", {"W_p", "U_p", "u_q", "b", "w_q"})]
)
def test_a_gate_that_is_off_has_no_weights(gates, missing):
    def names(cell):
        return {weight.name.split("/")[-1].split(":")[0] for weight in cell.weights}

    assert names(make_cell()) - names(make_cell(gates=gates)) == missing


def test_leap_bias_is_the_initial_value_of_b():
    cell = LeapRecurrentCell(N, leap_bias=-1.5)
    cell.build(tf.TensorShape([None, D]))
    assert cell.b.numpy() == -1.5
    assert cell.b.trainable
