import json

import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.sharding import ReplicaSeed
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.tasks.full_softmax import FullSoftmaxRetrieval
from hln_tf.tasks.sampled_softmax import SampledSoftmaxRetrieval

ITEMS, D, BATCH = 30, 6, 20
COUNTS = np.arange(ITEMS) ** 2
SEED = tf.constant([3, 4])


def task_of(num_negatives, power=0.5, **kwargs):
    task = SampledSoftmaxRetrieval(ITEMS, num_negatives, power, **kwargs)
    task.fit_counts(COUNTS)
    return task


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    query, table = random.normal(size=(BATCH, D)), random.normal(size=(ITEMS, D))
    target = random.integers(0, ITEMS, BATCH)
    return query.astype(np.float32), tf.Variable(table.astype(np.float32)), target


def loss_and_gradients(task, query, table, target, **kwargs):
    query = tf.Variable(query)
    with tf.GradientTape() as tape:
        loss = task(query, table, target=target, **kwargs)
    return loss, *tape.gradient(loss, [query, table])


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
def test_loss_is_that_of_the_definition(problem, power, num_negatives):
    query, table, target = problem
    task = task_of(num_negatives, power)
    negatives = task.draw(SEED).numpy()
    assert num_negatives < ITEMS or {*negatives} & {*target}
    expected = reference_losses(query, table.numpy(), target, negatives, q_of(power))
    np.testing.assert_allclose(
        task(query, table, target=target, seed=SEED), expected.mean(), rtol=1e-5
    )
    weight = np.arange(BATCH, dtype=np.float32)
    found = task(query, table, target=target, seed=SEED, sample_weight=tf.constant(weight))
    np.testing.assert_allclose(found, np.average(expected, weights=weight), rtol=1e-5)


def test_before_counts_are_learnt_sampling_is_uniform():
    task = SampledSoftmaxRetrieval(ITEMS, 10, 0.5)
    np.testing.assert_allclose(
        task.log_expected_count(tf.range(ITEMS)), np.log(10 / ITEMS), rtol=1e-5
    )


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_items_are_drawn_as_often_as_the_correction_says(power):
    task, draws = task_of(50, power), 400
    drawn = np.concatenate([task.draw(tf.constant([1, step])) for step in range(draws)])
    frequency = np.bincount(drawn, minlength=ITEMS) / draws
    expected = 50 * q_of(power)
    np.testing.assert_allclose(
        np.exp(task.log_expected_count(tf.range(ITEMS))), expected, rtol=1e-5
    )
    # A stratum's draw is Bernoulli, of variance 1/4 at most; an item ends in two strata.
    np.testing.assert_allclose(frequency, expected, atol=5 * np.sqrt(2 / 4 / draws))


def test_draws_are_a_function_of_the_seed():
    task = task_of(50)
    first = task.draw(SEED).numpy()
    assert (np.diff(first) >= 0).all() and first.min() >= 0 and first.max() < ITEMS
    np.testing.assert_array_equal(task.draw(SEED), first)
    np.testing.assert_array_equal(tf.function(task.draw)(SEED), first)
    assert (task.draw(tf.constant([3, 5])).numpy() != first).any()


def test_replicas_share_the_negatives(problem):
    query, table, target = problem
    task, rows = task_of(9), tf.range(5, 10)
    of_replica = task(
        query[5:10], table, target=target[5:10], seed=ReplicaSeed(SEED, rows, tf.constant(BATCH))
    )
    of_rows = task(query[5:10], table, target=target[5:10], seed=SEED)
    assert of_replica == of_rows


def test_every_item_drawn_once_gives_the_full_softmax(problem):
    """Uniform draws, as many as there are items, one in each item's stratum."""
    task = task_of(ITEMS, power=0.0)
    np.testing.assert_array_equal(task.draw(SEED), np.arange(ITEMS))
    found = loss_and_gradients(task, *problem, seed=SEED)
    expected = loss_and_gradients(FullSoftmaxRetrieval(), *problem)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), rtol=1e-4, atol=1e-6
        )


def test_loss_and_gradients_tend_to_those_of_the_full_softmax(problem):
    expected = loss_and_gradients(FullSoftmaxRetrieval(), *problem)

    def farthest(num_negatives):
        found = loss_and_gradients(task_of(num_negatives), *problem, seed=SEED)
        return max(
            np.abs(tf.convert_to_tensor(one) - tf.convert_to_tensor(other)).max()
            for one, other in zip(found, expected, strict=True)
        )

    few, more, many = (farthest(number) for number in (10, 1_000, 100_000))
    assert few > 0.05 and more < 0.01 and many < 1e-4


def test_gradient_is_sparse_and_touches_targets_and_negatives_alone(problem):
    task = task_of(5)
    gradient = loss_and_gradients(task, *problem, seed=SEED)[2]
    assert isinstance(gradient, tf.IndexedSlices)
    assert {*gradient.indices.numpy()} == {*problem[2]} | {*task.draw(SEED).numpy()}


def test_a_sample_of_nothing_but_the_target_has_nothing_to_learn():
    task = SampledSoftmaxRetrieval(2, 3, 1.0)
    task.fit_counts(np.array([10**15, 0]))
    loss, of_query, of_table = loss_and_gradients(
        task, np.ones([1, 2], np.float32), tf.Variable(tf.eye(2)), [0], seed=SEED
    )
    assert loss == 0
    assert np.abs(of_query).max() == 0 and np.abs(of_table.values).max() == 0


def test_evaluation_is_exact(problem):
    query, table, target = problem
    ranking = FullCatalogueRanking(candidates=lambda: table)
    task = task_of(5, metrics=[ranking])
    loss = task(query, table, target=target)
    assert loss == FullSoftmaxRetrieval()(query, table, target=target)
    exact = FullCatalogueRanking()
    exact.update_from_scores(tf.matmul(query, table, transpose_b=True), target)
    assert ranking.results() == exact.results()


def test_config_round_trip(problem):
    task = task_of(5, name="task")
    copy = SampledSoftmaxRetrieval.from_config(json.loads(json.dumps(task.get_config())))
    copy.fit_counts(COUNTS)
    query, table, target = problem
    assert copy.name == "task"
    assert copy(query, table, target=target, seed=SEED) == task(
        query, table, target=target, seed=SEED
    )
