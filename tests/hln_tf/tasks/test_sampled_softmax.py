import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.noise import StepSeed
from hln_tf.tasks import FullSoftmax, SampledSoftmax

ITEMS, D, BATCH = 30, 6, 20
COUNTS = np.arange(ITEMS) ** 2
SEED = tf.constant([3, 4])


def make_loss(num_negatives, power=0.5):
    loss = SampledSoftmax(num_negatives, power)
    loss.prepare(ITEMS)
    loss.fit_counts(COUNTS)
    return loss


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    query, table = random.normal(size=(BATCH, D)), random.normal(size=(ITEMS, D))
    target = random.integers(0, ITEMS, BATCH)
    return query.astype(np.float32), tf.Variable(table.astype(np.float32)), tf.constant(target)


def loss_and_gradients(loss, query, table, target, **arguments):
    """The mean loss and its gradients by queries and table."""
    query = tf.Variable(query)
    with tf.GradientTape() as tape:
        mean = tf.reduce_mean(loss(query, table, target, **arguments))
    return mean, *tape.gradient(mean, [query, table])


def q_of(power):
    weight = (1.0 + COUNTS) ** power
    return weight / weight.sum()


def reference_losses(query, table, target, negatives, q):
    """The definition, one row at a time, in float64."""
    losses = []
    for x, t in zip(query.astype(np.float64), target, strict=True):
        total = np.exp(x @ table[t]) + sum(
            np.exp(x @ table[j]) / (len(negatives) * q[j]) for j in negatives if j != t
        )
        losses.append(np.log(total) - x @ table[t])
    return np.array(losses)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("num_negatives", [1, 7, 100])
def test_losses_are_those_of_the_definition(problem, power, num_negatives):
    query, table, target = problem
    loss = make_loss(num_negatives, power)
    negatives = loss.negatives(SEED).numpy()
    assert num_negatives < ITEMS or {*negatives} & {*target.numpy()}
    expected = reference_losses(query, table.numpy(), target.numpy(), negatives, q_of(power))
    found = loss(query, table, target, seed=SEED)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_replicas_share_the_negatives(problem):
    query, table, target = problem
    loss = make_loss(9)
    of_replica = loss(
        *(query[5:10], table, target[5:10]), seed=StepSeed(SEED, tf.constant(5), tf.constant(BATCH))
    )
    of_batch = loss(query, table, target, seed=SEED)[5:10]
    np.testing.assert_allclose(of_replica, of_batch, rtol=1e-6)


def test_every_item_sampled_once_gives_the_full_softmax(problem):
    """Uniform sampling of as many as there are items: one in each item's stratum."""
    found = loss_and_gradients(make_loss(ITEMS, power=0.0), *problem, seed=SEED)
    expected = loss_and_gradients(FullSoftmax(), *problem)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), rtol=1e-4, atol=1e-6
        )


def test_loss_and_gradients_tend_to_those_of_the_full_softmax(problem):
    expected = loss_and_gradients(FullSoftmax(), *problem)

    def farthest(num_negatives):
        found = loss_and_gradients(make_loss(num_negatives), *problem, seed=SEED)
        return max(
            np.abs(tf.convert_to_tensor(one) - tf.convert_to_tensor(other)).max()
            for one, other in zip(found, expected, strict=True)
        )

    few, more, many = (farthest(number) for number in (10, 1_000, 100_000))
    assert few > 0.05 and more < 0.01 and many < 1e-4


def test_gradient_is_sparse_and_touches_targets_and_negatives_alone(problem):
    loss = make_loss(5)
    gradient = loss_and_gradients(loss, *problem, seed=SEED)[2]
    assert isinstance(gradient, tf.IndexedSlices)
    assert {*gradient.indices.numpy()} == {*problem[2].numpy()} | {*loss.negatives(SEED).numpy()}


def test_negatives_that_are_all_the_target_have_nothing_to_learn():
    loss = SampledSoftmax(3, 1.0)
    loss.prepare(2)
    loss.fit_counts(np.array([10**15, 0]))
    mean, of_query, of_table = loss_and_gradients(
        loss, np.ones([1, 2], np.float32), tf.Variable(tf.eye(2)), tf.constant([0]), seed=SEED
    )
    assert mean == 0
    assert np.abs(of_query).max() == 0 and np.abs(of_table.values).max() == 0
