import numpy as np
import pytest
import repeat_oracle
import tensorflow as tf

from hln_tf.layers.repeat_head import Repeats, mixture_statistics
from hln_tf.tasks import FullSoftmax

ITEMS, D, TIME = 7, 3, 4
# Repeats, padding anywhere, no click, and all items of the catalogue but for some.
SESSIONS = np.array([[2, 2, 5, 0], [0, 3, 0, 0], [0, 0, 0, 0], [1, 7, 3, 4], [6, 0, 1, 6]])
# In the session and not.
TARGET = np.array([[1, 2, 4, 0, 5], [0, 6, 3, 5, 3]])


def arrays(seed=0):
    """Queries, candidates, the clicks' energies and the gates' logits, in float64."""
    random = np.random.default_rng(seed)
    shapes = ((len(SESSIONS), D), (ITEMS, D), SESSIONS.shape, (len(SESSIONS),))
    return [random.normal(size=shape) for shape in shapes]


def repeats_of(energy, logit):
    lowest, clicks = energy.dtype.min, SESSIONS > 0
    log_a = tf.nn.log_softmax(tf.where(clicks, energy, lowest))
    log_clicks = tf.where(clicks, tf.math.log_sigmoid(logit)[:, None] + log_a, lowest)
    log_others = tf.where(clicks.any(axis=1), tf.math.log_sigmoid(-logit), 0)
    return Repeats(tf.constant(SESSIONS, tf.int32), log_clicks, log_others)


def losses_of(values, target, smoothing, precision="float32"):
    query, candidates, energy, logit = values
    loss = FullSoftmax(precision, smoothing, dtype=query.dtype)
    return loss(query, candidates, tf.constant(target), repeats=repeats_of(energy, logit))


def expected_losses(query, candidates, energy, logit, target, smoothing):
    result = []
    for q, row, e, l, t in zip(query, SESSIONS, energy, logit, target, strict=True):  # noqa: E741
        clicks = row > 0
        attention = np.exp(e[clicks]) / np.exp(e[clicks]).sum()
        gate = 1 / (1 + np.exp(-l))
        mixed = repeat_oracle.mixture(candidates @ q, list(row[clicks]), attention, gate)
        result.append(repeat_oracle.smoothed_loss(mixed, t, smoothing))
    return np.array(result)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("target", TARGET)
def test_losses_are_those_of_the_definition(target, smoothing):
    values = arrays()
    found = losses_of([tf.constant(v, tf.float32) for v in values], target, smoothing)
    expected = expected_losses(*values, target, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("target", TARGET)
def test_gradients_are_those_of_finite_differences(target, smoothing):
    values, weight = arrays(1), np.array([0.5, 2.0, -1.0, 1.5, 3.0])
    variables = [tf.Variable(value) for value in values]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weight * losses_of(variables, target, smoothing))
    gradients = tape.gradient(total, variables)
    step = 1e-6
    for value, gradient in zip(values, gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        for index in np.ndindex(value.shape):
            old, around = value[index], []
            for value[index] in (old + step, old - step):
                around.append(weight @ expected_losses(*values, target, smoothing))
            value[index] = old
            expected = (around[0] - around[1]) / (2 * step)
            np.testing.assert_allclose(gradient[index], expected, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_evaluation_reports_the_loss_of_training(smoothing):
    query, candidates, energy, logit = (tf.constant(v, tf.float32) for v in arrays(2))
    repeats, target = repeats_of(energy, logit), tf.constant(TARGET[0])
    statistics = mixture_statistics(query, candidates, target, repeats)
    loss = FullSoftmax(label_smoothing=smoothing)
    found = loss.evaluate(query, candidates, target, statistics)
    expected = loss(query, candidates, target, repeats=repeats)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_bfloat16_rounds_the_products_alone(smoothing):
    found = []
    for precision in ("float32", "bfloat16"):
        variables = [tf.Variable(value, dtype=tf.float32) for value in arrays(3)]
        with tf.GradientTape() as tape:
            losses = losses_of(variables, TARGET[1], smoothing, precision)
        gradients = tape.gradient(losses, variables)
        found.append([losses, *map(tf.convert_to_tensor, gradients)])
    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype == tf.float32
        np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max())
    assert np.any(found[0][1] != found[1][1])


@pytest.mark.parametrize("spread", [30.0, 1e4])
def test_saturated_scores_have_finite_losses_and_gradients(spread):
    query, candidates, energy, logit = arrays(4)
    values = [spread * query, candidates, spread * energy, spread * logit]
    variables = [tf.Variable(value, dtype=tf.float32) for value in values]
    for target in TARGET:
        with tf.GradientTape() as tape:
            losses = losses_of(variables, target, 0.1)
        assert np.all(np.isfinite(losses))
        for gradient in tape.gradient(losses, variables):
            assert np.all(np.isfinite(tf.convert_to_tensor(gradient)))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_xla_compiles_loss_and_gradients(smoothing):
    values = [tf.constant(value, tf.float32) for value in arrays(5)]

    def step(*values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            losses = losses_of(values, TARGET[0], smoothing)
        return losses, *map(tf.convert_to_tensor, tape.gradient(losses, values))

    compiled = tf.function(step, jit_compile=True)
    for found, expected in zip(compiled(*values), step(*values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
