import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from hln_tf.layers.relaxed_bernoulli import RelaxedBernoulli, logistic_noise
from hln_tf.models.settings import HLNSettings

TEMPERATURE = HLNSettings.__dataclass_fields__["temperature"].metadata
TEMPERATURES = [TEMPERATURE["minimum"], 0.3, 1.0, TEMPERATURE["maximum"]]
MODERATE = np.array([-2.0, -0.5, 0.0, 0.3, 3.0], np.float32)
SATURATED = np.array([-1e30, -1e6, -1000.0, -100.0, 0.0, 100.0, 1000.0, 1e6, 1e30], np.float32)


def noise(*shape, seed=3):
    return logistic_noise(tf.constant(shape), tf.constant([seed, 5]))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_sample_is_that_of_the_parent(temperature):
    ours = RelaxedBernoulli(temperature, logits=MODERATE).sample(50, seed=[1, 2])
    parents = tfp.distributions.RelaxedBernoulli(temperature, logits=MODERATE)
    assert ours.shape == (50, 5)
    assert np.ptp(ours) > 0.3
    np.testing.assert_allclose(ours, parents.sample(50, seed=[1, 2]), rtol=1e-5, atol=1e-5)


def test_relaxed_sample_by_hand():
    gate = RelaxedBernoulli(2.0, logits=[1.0, -4.0])
    # s((1 + 3) / 2) and s((-4 + 1) / 2).
    expected = [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.5))]
    np.testing.assert_allclose(gate.relaxed(tf.constant([3.0, 1.0])), expected, rtol=1e-6)


def test_relaxed_sample_with_logistic_noise_has_the_parents_distribution():
    temperature, logit = 0.7, 0.4
    relaxed = RelaxedBernoulli(temperature, logits=logit).relaxed(noise(20_000))
    parent = tfp.distributions.RelaxedBernoulli(temperature, logits=logit)
    for threshold in (0.1, 0.5, 0.9):
        share = np.mean(relaxed < threshold)
        np.testing.assert_allclose(share, parent.cdf(threshold), atol=0.015)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_straight_through_gate_is_exactly_0_or_1(temperature):
    sampled = noise(1000, len(MODERATE))
    gate = RelaxedBernoulli(temperature, logits=MODERATE).straight_through(sampled).numpy()
    np.testing.assert_array_equal(gate, (MODERATE + sampled.numpy() > 0).astype(np.float32))
    assert 0 < gate.mean() < 1


def test_straight_through_gate_samples_its_noise_from_a_seed():
    gate = RelaxedBernoulli(1.0, logits=np.zeros(100, np.float32))
    sampled = gate.straight_through(seed=[1, 2])
    np.testing.assert_array_equal(
        sampled, gate.straight_through(logistic_noise(tf.constant([100]), [1, 2]))
    )
    assert 20 < np.sum(sampled) < 80


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_straight_through_gradient_is_that_of_the_relaxed_sample(temperature):
    sampled = noise(50, len(MODERATE))
    logits = tf.constant(MODERATE)
    weights = tf.random.stateless_normal([50, len(MODERATE)], [7, 7])
    gradients = []
    for estimator in (RelaxedBernoulli.straight_through, RelaxedBernoulli.relaxed):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            gate = estimator(RelaxedBernoulli(temperature, logits=logits), sampled)
            loss = tf.reduce_sum(weights * gate)
        gradients.append(tape.gradient(loss, logits).numpy())
    assert np.all(gradients[0] != 0)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("how", ["straight_through", "relaxed", "sample"])
def test_values_and_gradients_are_finite_at_saturated_logits(how, temperature):
    logits = tf.constant(SATURATED)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        gate = RelaxedBernoulli(temperature, logits=logits)
        if how == "sample":
            values = gate.sample(200, seed=[1, 2])
        else:
            values = getattr(gate, how)(noise(200, len(SATURATED)))
    gradient = tape.gradient(values, logits)
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(gradient))
    # Without a gradient at the logit 0, finiteness would mean nothing.
    assert gradient[len(SATURATED) // 2] != 0


def test_share_of_ones_is_the_sigmoid_of_the_logit():
    gate = RelaxedBernoulli(0.1, logits=MODERATE).straight_through(noise(40_000, len(MODERATE)))
    # Four standard errors of a share of 40,000 are at most 0.01.
    np.testing.assert_allclose(np.mean(gate, axis=0), tf.sigmoid(MODERATE), atol=0.01)


def test_noise_is_a_function_of_the_seed():
    np.testing.assert_array_equal(noise(3, 4, seed=1), noise(3, 4, seed=1))
    assert not np.any(noise(3, 4, seed=1) == noise(3, 4, seed=2))


def test_noise_is_standard_logistic():
    ordered = np.sort(noise(40_000).numpy())
    quantiles = np.array([0.05, 0.5, 0.95])
    expected = np.log(quantiles / (1 - quantiles))
    np.testing.assert_allclose(np.quantile(ordered, quantiles), expected, atol=0.1)
