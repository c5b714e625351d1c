import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.noise import StepSeed
from hln_tf.tasks import BPR, NegativeSampler, SampledSoftmax

ITEMS = 30
COUNTS = np.arange(ITEMS) ** 2
SEED = tf.constant([3, 4])


def make_sampler(num_negatives, power=0.5):
    sampler = NegativeSampler(num_negatives, power)
    sampler.prepare(ITEMS)
    sampler.fit_counts(COUNTS)
    return sampler


def q_of(power):
    weight = (1.0 + COUNTS) ** power
    return weight / weight.sum()


@pytest.mark.parametrize("layer", [NegativeSampler, SampledSoftmax, BPR])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_negatives": 0}, "`num_negatives` must be an integer of at least 1, received 0"),
        ({"num_negatives": 2.5}, "`num_negatives` must be an integer .*, received 2.5"),
        ({"sampling_power": -0.1}, "`sampling_power` must be from 0 to 1, received -0.1"),
        ({"sampling_power": float("nan")}, "`sampling_power` must be from 0 to 1, received nan"),
    ],
)
def test_bad_arguments_are_refused(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


def test_before_counts_are_known_sampling_is_uniform():
    sampler = NegativeSampler(10)
    sampler.prepare(ITEMS)
    np.testing.assert_allclose(
        sampler.log_expected_count(tf.range(ITEMS)), np.log(10 / ITEMS), rtol=1e-5
    )


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_items_are_sampled_as_often_as_the_correction_says(power):
    sampler, steps = make_sampler(50, power), 400
    rows = np.concatenate([sampler.sample(tf.constant([1, step])) for step in range(steps)])
    frequency = np.bincount(rows, minlength=ITEMS) / steps
    expected = 50 * q_of(power)
    np.testing.assert_allclose(
        np.exp(sampler.log_expected_count(tf.range(ITEMS))), expected, rtol=1e-5
    )
    # Within a stratum an item is a Bernoulli variable, of variance 1/4 at most; an item is partly
    # in two strata at most.
    np.testing.assert_allclose(frequency, expected, atol=5 * np.sqrt(2 / 4 / steps))


def test_negatives_are_a_function_of_the_seed():
    sampler = make_sampler(50)
    first = sampler(SEED).numpy()
    assert (np.diff(first) >= 0).all() and first.min() >= 0 and first.max() < ITEMS
    np.testing.assert_array_equal(sampler(SEED), first)
    np.testing.assert_array_equal(tf.function(sampler.sample)(SEED), first)
    assert (sampler(tf.constant([3, 5])).numpy() != first).any()


def test_without_a_seed_negatives_are_those_of_seed_0():
    sampler = make_sampler(50)
    np.testing.assert_array_equal(sampler(None), sampler(tf.constant([0, 0])))


def test_replicas_share_the_negatives():
    sampler = make_sampler(50)
    of_replica = sampler(StepSeed(SEED, tf.constant(2), tf.constant(9)))
    np.testing.assert_array_equal(of_replica, sampler(SEED))


def test_uniform_sampling_of_as_many_as_there_are_samples_every_item_once():
    np.testing.assert_array_equal(make_sampler(ITEMS, 0.0)(SEED), np.arange(ITEMS))
