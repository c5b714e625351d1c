import json

import numpy as np
import pytest
import tensorflow as tf
from one_step import central_differences, pairwise_loss

from hln_tf.common.errors import UsageError
from hln_tf.layers.sharding import ReplicaSeed
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.tasks.pairwise import PAIRWISE, PairwiseRetrieval

ITEMS, D, BATCH = 12, 3, 9
COUNTS = np.arange(ITEMS) ** 2
SEED = tf.constant([3, 4])
PENALTY = 0.5


def task_of(loss_name, num_negatives=7, power=0.5, **kwargs):
    penalty = PENALTY if loss_name == "bpr_max" else 0.0
    task = PairwiseRetrieval(ITEMS, num_negatives, power, loss_name, penalty, **kwargs)
    task.fit_counts(COUNTS)
    return task


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    query, table = random.normal(size=(BATCH, D)), random.normal(size=(ITEMS, D))
    target = random.integers(4, ITEMS, BATCH)
    return query.astype(np.float32), tf.Variable(table.astype(np.float32)), target


def loss_and_gradients(task, query, table, target, **kwargs):
    query = tf.Variable(query)
    with tf.GradientTape() as tape:
        loss = task(query, table, target=target, seed=SEED, **kwargs)
    return loss, *map(tf.convert_to_tensor, tape.gradient(loss, [query, table]))


@pytest.mark.parametrize("num_negatives", [1, 7, 40])
@pytest.mark.parametrize("name", PAIRWISE)
def test_loss_and_gradients_are_those_of_the_definition(problem, name, num_negatives):
    query, table, target = problem
    task = task_of(name, num_negatives)
    negatives = task.draw(SEED).numpy()
    hits = np.sum(negatives == target[:, None])
    assert num_negatives == 1 or hits > 0
    weight = np.linspace(0.0, 2.0, BATCH)

    def losses(arrays):
        scores = arrays["query"] @ arrays["table"].T
        return [
            pairwise_loss(name, row, t, negatives, PENALTY)
            for row, t in zip(scores, target, strict=True)
        ]

    arrays = {"query": query.astype(np.float64), "table": table.numpy().astype(np.float64)}
    np.testing.assert_allclose(
        task(query, table, target=target, seed=SEED), np.mean(losses(arrays)), rtol=1e-5
    )
    found = loss_and_gradients(task, *problem, sample_weight=tf.constant(weight, tf.float32))
    np.testing.assert_allclose(found[0], np.average(losses(arrays), weights=weight), rtol=1e-5)
    expected = central_differences(lambda a: np.average(losses(a), weights=weight), arrays)
    for gradient, of in zip(found[1:], ("query", "table"), strict=True):
        np.testing.assert_allclose(gradient, expected[of], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # r_i = 1 against r_j = 0 and 2, by hand from the papers, s(1) = 0.7310586.
        ("bpr", (-np.log(0.7310586) - np.log(0.2689414)) / 2),
        ("bpr_adaptive", -np.log(0.2689414)),
        ("top1", ((0.2689414 + 0.5) + (0.7310586 + 0.9820138)) / 2),
        # The softmax of 0 and 2 is 0.1192029 and 0.8807971.
        (
            "bpr_max",
            -np.log(0.1192029 * 0.7310586 + 0.8807971 * 0.2689414) + PENALTY * 0.8807971 * 4,
        ),
    ],
)
def test_losses_by_hand(name, expected, monkeypatch):
    task = PairwiseRetrieval(4, 3, 0.0, name, PENALTY)
    # The target itself is drawn too, and left out.
    monkeypatch.setattr(task, "draw", lambda seed: tf.constant([0, 1, 2]))
    table = tf.constant([[0.0], [1.0], [2.0], [5.0]])
    loss = task(tf.ones([1, 1]), table, target=[1], seed=SEED)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_row_of_hits_alone_has_nothing_to_learn(problem, name, monkeypatch):
    query, table, target = problem
    task = task_of(name, 3)
    monkeypatch.setattr(task, "draw", lambda seed: tf.repeat(tf.cast(target[0], tf.int32), 3))
    is_hit = target == target[0]
    assert 0 < is_hit.sum() < BATCH
    losses = task.losses(query, table, tf.constant(target), SEED).numpy()
    np.testing.assert_array_equal(losses[is_hit], 0.0)
    assert np.all(losses[~is_hit] > 0)
    _, of_query, _ = loss_and_gradients(task, *problem)
    np.testing.assert_array_equal(of_query[is_hit], 0.0)
    assert np.all(np.isfinite(of_query))
    assert np.all(np.abs(of_query[~is_hit]).max(axis=1) > 0)


@pytest.mark.parametrize("scale", [1e2, 1e6])
@pytest.mark.parametrize("name", PAIRWISE)
def test_extreme_scores_leave_loss_and_gradients_finite(problem, name, scale):
    query, table, target = problem
    for part in loss_and_gradients(task_of(name), scale * query, table, target):
        assert np.all(np.isfinite(part))


@pytest.mark.parametrize("name", ["bpr", "bpr_adaptive", "top1"])
def test_lost_pairs_still_teach(problem, name):
    """The slope of -log s(x) far below 0 is -1; that of s itself is gone there, with top1."""
    query, table, target = problem
    table.assign(-tf.abs(table))
    query = np.full_like(query, 0.0)
    target = np.zeros(BATCH, int)
    table[0].assign([-40.0, 0.0, 0.0])
    query[:, 0] = 1.0
    _, of_query, _ = loss_and_gradients(task_of(name, 40, 0.0), query, table, target)
    slopes = np.abs(of_query).max(axis=1)
    assert np.all(slopes > 1.0) == (name != "top1")


def test_with_power_0_negatives_are_uniform_over_items():
    draws = 150
    task = task_of("bpr", 50, 0.0)
    drawn = np.concatenate([task.draw(tf.constant([1, step])) for step in range(draws)])
    frequency = np.bincount(drawn, minlength=ITEMS) / draws
    # A stratum's draw is Bernoulli, of variance 1/4 at most; an item lies in two strata at most.
    np.testing.assert_allclose(frequency, 50 / ITEMS, atol=5 * np.sqrt(2 / 4 / draws))


def test_replicas_share_the_negatives(problem):
    query, table, target = problem
    task, rows = task_of("bpr_max"), tf.range(2, 5)
    part = {"target": target[2:5], "sample_weight": None}
    of_replica = task(query[2:5], table, seed=ReplicaSeed(SEED, rows, tf.constant(BATCH)), **part)
    assert of_replica == task(query[2:5], table, seed=SEED, **part)


def test_gradient_is_sparse_and_touches_targets_and_negatives_alone(problem):
    query, table, target = problem
    task = task_of("bpr", 2)
    with tf.GradientTape() as tape:
        loss = task(query, table, target=target, seed=SEED)
    gradient = tape.gradient(loss, table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert {*gradient.indices.numpy()} == {*target} | {*task.draw(SEED).numpy()}


def test_without_a_seed_the_loss_is_the_same_each_time(problem):
    query, table, target = problem
    ranking = FullCatalogueRanking(candidates=lambda: table)
    task = task_of("top1", metrics=[ranking])
    first = task(query, table, target=target)
    assert first == task(query, table, target=target, seed=tf.constant([0, 0]))
    exact = FullCatalogueRanking()
    for _ in range(2):  # once for each call
        exact.update_from_scores(tf.matmul(query, table, transpose_b=True), target)
    assert ranking.results() == exact.results()
    assert 0 < exact.results()["recall@5"] < 1


def test_unknown_loss_is_refused():
    with pytest.raises(UsageError, match="received 'top2'"):
        PairwiseRetrieval(ITEMS, 2, 0.5, "top2")


def test_config_round_trip(problem):
    query, table, target = problem
    task = task_of("bpr_max", name="task")
    copy = PairwiseRetrieval.from_config(json.loads(json.dumps(task.get_config())))
    copy.fit_counts(COUNTS)
    assert copy.name == "task"
    assert copy(query, table, target=target, seed=SEED) == task(
        query, table, target=target, seed=SEED
    )
