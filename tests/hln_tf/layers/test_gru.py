import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.layers.gru import GRU

D, N = 3, 4
BATCH, TIME = 4, 6

# Nothing padded, at the end, at the start and between; all of a session; a single click.
MASK = np.array(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]], bool
)


def make_gru(seed=0):
    gru = GRU(N)
    gru(tf.zeros([1, 1, D]), mask=tf.ones([1, 1], bool))
    random = np.random.default_rng(seed)
    for weight in gru.weights:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return gru


def inputs(time=TIME, seed=1):
    return np.random.default_rng(seed).normal(size=(BATCH, time, D)).astype(np.float32)


def expected_states(gru, x, mask):
    """All states of one session by the reference, [time, n]."""
    weights = {
        "kernel": gru.kernel.numpy().astype(np.float64),
        "recurrent_kernel": gru.U.numpy().astype(np.float64),
        "bias": np.stack([gru.bias.numpy(), np.concatenate([np.zeros(2 * N), gru.c.numpy()])]),
    }
    h, states = np.zeros(N), []
    for x_t, is_click in zip(x, mask, strict=True):
        h = reference.gru_step(h, x_t, weights) if is_click else h
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_reference_and_repeat_at_padding(training):
    gru, x = make_gru(), inputs()
    states, last = gru(tf.constant(x), mask=tf.constant(MASK), training=training)
    expected = np.array([expected_states(gru, *row) for row in zip(x, MASK, strict=True)])
    np.testing.assert_allclose(states, expected, atol=1e-5)
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-5)


@pytest.mark.parametrize("time", [1, TIME])
@pytest.mark.parametrize("used", [("states",), ("last",), ("states", "last")])
def test_gradient_in_training_is_the_tapes(used, time):
    gru, x, mask = make_gru(), tf.constant(inputs(time)), tf.constant(MASK[:, :time])
    random = np.random.default_rng(2)
    # Weights that no symmetry of the sum can hide a mistake behind.
    by_name = {
        "states": random.normal(size=(BATCH, time, N)).astype(np.float32),
        "last": random.normal(size=(BATCH, N)).astype(np.float32),
    }

    def value_and_gradients(training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = dict(
                zip(("states", "last"), gru(x, mask=mask, training=training), strict=True)
            )
            total = tf.add_n([tf.reduce_sum(by_name[name] * outputs[name]) for name in used])
        zero = tf.UnconnectedGradients.ZERO  # the only step of a session meets no U
        return total, tape.gradient(total, [x, *gru.weights], unconnected_gradients=zero)

    wanted, expected = value_and_gradients(training=False)
    for run in (value_and_gradients, tf.function(value_and_gradients)):
        total, found = run(training=True)
        assert float(total) == pytest.approx(float(wanted), rel=1e-5)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    by_weight = dict(zip(["x", *(weight.ref() for weight in gru.weights)], expected, strict=True))
    for name in ("x", gru.kernel.ref(), gru.bias.ref(), gru.c.ref()):
        assert np.abs(by_weight[name]).max() > 0


def test_padding_has_no_gradient():
    gru, x = make_gru(), tf.constant(inputs())
    with tf.GradientTape() as tape:
        tape.watch(x)
        states, _ = gru(x, mask=tf.constant(MASK), training=True)
        total = tf.reduce_sum(states**2)
    by_x = tape.gradient(total, x).numpy()
    np.testing.assert_array_equal(by_x[~MASK], 0.0)
    assert np.all(np.abs(by_x[MASK]).max(axis=-1) > 0)


@pytest.mark.parametrize("units", [0, -2, 1.5])
def test_wrong_units_are_refused(units):
    with pytest.raises(ValueError, match=f"`units` must be an integer .*, received {units}"):
        GRU(units)
