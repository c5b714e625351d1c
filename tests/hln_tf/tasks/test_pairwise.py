import numpy as np
import pytest
import tensorflow as tf
from one_step import central_differences, pairwise_loss

from hln_tf.layers.noise import StepSeed
from hln_tf.tasks import PairwiseLoss, get

ITEMS, D, BATCH = 12, 3, 9
COUNTS = np.arange(ITEMS) ** 2
SEED = tf.constant([3, 4])
PENALTY = 0.5
PAIRWISE = ("bpr", "bpr_adaptive", "bpr_max", "top1", "binary")


def make_loss(name, num_negatives=7, power=0.5):
    loss = get(name, num_negatives=num_negatives, sampling_power=power, score_penalty=PENALTY)
    loss.prepare(ITEMS)
    loss.fit_counts(COUNTS)
    return loss


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    query, table = random.normal(size=(BATCH, D)), random.normal(size=(ITEMS, D))
    target = random.integers(4, ITEMS, BATCH)
    return query.astype(np.float32), tf.Variable(table.astype(np.float32)), target


def losses_and_gradients(loss, query, table, target, weight=1.0):
    """The losses, and the gradients of their weighted sum."""
    query = tf.Variable(query)
    with tf.GradientTape() as tape:
        losses = loss(query, table, tf.constant(target), seed=SEED)
        total = tf.reduce_sum(weight * losses)
    return losses, *map(tf.convert_to_tensor, tape.gradient(total, [query, table]))


@pytest.mark.parametrize("num_negatives", [1, 7, 40])
@pytest.mark.parametrize("name", PAIRWISE)
def test_losses_and_gradients_are_those_of_the_definition(problem, name, num_negatives):
    query, table, target = problem
    loss = make_loss(name, num_negatives)
    negatives = loss.negatives(SEED).numpy()
    hits = np.sum(negatives == target[:, None])
    assert num_negatives == 1 or hits > 0
    weight = np.linspace(0.0, 2.0, BATCH)

    def losses(arrays):
        scores = arrays["query"] @ arrays["table"].T
        return [
            pairwise_loss(name, row, t, negatives, PENALTY if name == "bpr_max" else 0.0)
            for row, t in zip(scores, target, strict=True)
        ]

    arrays = {"query": query.astype(np.float64), "table": table.numpy().astype(np.float64)}
    found = losses_and_gradients(loss, *problem, weight=tf.constant(weight, tf.float32))
    np.testing.assert_allclose(found[0], losses(arrays), rtol=1e-5, atol=1e-6)
    expected = central_differences(lambda a: weight @ losses(a), arrays)
    for gradient, of in zip(found[1:], ("query", "table"), strict=True):
        np.testing.assert_allclose(gradient, expected[of], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # r_i = 1 against r_j = 0 and 2, by hand from the papers, s(1) = 0.7310586.
        ("bpr", (-np.log(0.7310586) - np.log(0.2689414)) / 2),
        ("bpr_adaptive", -np.log(0.2689414)),
        ("top1", ((0.2689414 + 0.5) + (0.7310586 + 0.9820138)) / 2),
        # 1 - s(0) = 0.5 and 1 - s(2) = 0.1192029.
        ("binary", -np.log(0.7310586) - (np.log(0.5) + np.log(0.1192029)) / 2),
        # The softmax of 0 and 2 is 0.1192029 and 0.8807971.
        (
            "bpr_max",
            -np.log(0.1192029 * 0.7310586 + 0.8807971 * 0.2689414) + PENALTY * 0.8807971 * 4,
        ),
    ],
)
def test_losses_by_hand(name, expected, monkeypatch):
    loss = make_loss(name, 3, 0.0)
    # The target itself is sampled too, and excluded.
    monkeypatch.setattr(loss.negatives, "sample", lambda seed: tf.constant([0, 1, 2]))
    table = tf.constant([[0.0], [1.0], [2.0], [5.0]])
    losses = loss(tf.ones([1, 1]), table, tf.constant([1]), seed=SEED)
    np.testing.assert_allclose(losses, [expected], rtol=1e-5)


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_row_of_hits_alone_has_nothing_to_learn(problem, name, monkeypatch):
    target = problem[2]
    loss = make_loss(name, 3)
    rows = tf.repeat(tf.cast(target[0], tf.int32), 3)
    monkeypatch.setattr(loss.negatives, "sample", lambda seed: rows)
    is_hit = target == target[0]
    assert 0 < is_hit.sum() < BATCH
    losses, of_query, _ = losses_and_gradients(loss, *problem)
    np.testing.assert_array_equal(losses[is_hit], 0.0)
    assert np.all(losses[~is_hit] > 0)
    np.testing.assert_array_equal(of_query[is_hit], 0.0)
    assert np.all(np.isfinite(of_query))
    assert np.all(np.abs(of_query[~is_hit]).max(axis=1) > 0)


@pytest.mark.parametrize("scale", [1e2, 1e6])
@pytest.mark.parametrize("name", PAIRWISE)
def test_extreme_scores_leave_losses_and_gradients_finite(problem, name, scale):
    query, table, target = problem
    for part in losses_and_gradients(make_loss(name), scale * query, table, target):
        assert np.all(np.isfinite(part))


@pytest.mark.parametrize("name", ["bpr", "bpr_adaptive", "top1", "binary"])
def test_lost_pairs_still_teach(name):
    """The slope of -log s(x) far below 0 is -1; that of s itself, in top1, vanishes there."""
    table = tf.Variable(-np.abs(np.random.default_rng(0).normal(size=(ITEMS, D))).astype("f"))
    table[0].assign([-40.0, 0.0, 0.0])
    query = np.tile(np.float32([1.0, 0.0, 0.0]), (BATCH, 1))
    target = np.zeros(BATCH, int)
    _, of_query, _ = losses_and_gradients(make_loss(name, 40, 0.0), query, table, target)
    slopes = np.abs(of_query).max(axis=1)
    assert np.all(slopes > 1.0) == (name != "top1")


def test_replicas_share_the_negatives(problem):
    query, table, target = problem
    loss = make_loss("bpr_max")
    seed = StepSeed(SEED, tf.constant(2), tf.constant(BATCH))
    of_replica = loss(query[2:5], table, tf.constant(target[2:5]), seed=seed)
    of_batch = loss(query, table, tf.constant(target), seed=SEED)[2:5]
    np.testing.assert_allclose(of_replica, of_batch, rtol=1e-6)


def test_gradient_is_sparse_and_touches_targets_and_negatives_alone(problem):
    query, table, target = problem
    loss = make_loss("bpr", 2)
    with tf.GradientTape() as tape:
        losses = loss(query, table, tf.constant(target), seed=SEED)
    gradient = tape.gradient(losses, table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert {*gradient.indices.numpy()} == {*target} | {*loss.negatives(SEED).numpy()}


def test_a_subclass_must_define_its_pairs(problem):
    class Own(PairwiseLoss):
        pass

    query, table, target = problem
    loss = Own()
    loss.prepare(ITEMS)
    with pytest.raises(NotImplementedError, match="Own must define `pairs`"):
        loss(query, table, tf.constant(target))
