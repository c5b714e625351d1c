import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.tasks import InBatchSoftmax

ITEMS, D = 6, 3
COUNTS = np.array([100, 0, 3, 9, 1, 40])
# Items 3 and 0 are the targets of several examples.
TARGET = np.array([3, 0, 3, 5, 0, 2, 3])
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(len(TARGET), D)).astype(np.float32)
TABLE = RANDOM.normal(size=(ITEMS, D)).astype(np.float32)


def make_loss(counts=COUNTS, **arguments):
    loss = InBatchSoftmax(**arguments)
    loss.prepare(ITEMS)
    if counts is not None:
        loss.fit_counts(counts)
    return loss


def expected_losses(probability, removes_hits=True):
    """The definition, one example at a time."""
    losses = []
    for row, target in enumerate(TARGET):
        scores, own = [], None
        for column, candidate in enumerate(TARGET):
            if removes_hits and candidate == target and column != row:
                continue
            if column == row:
                own = len(scores)
            score = QUERY[row].astype(np.float64) @ TABLE[candidate]
            scores.append(score - np.log(probability[candidate]))
        losses.append(-reference.log_softmax(scores)[own])
    return losses


@pytest.mark.parametrize("removes_hits", [True, False])
def test_losses_are_those_of_the_definition(removes_hits):
    loss = make_loss(remove_accidental_hits=removes_hits)
    probability = (1 + COUNTS) / np.sum(1 + COUNTS)
    found = loss(tf.constant(QUERY), tf.constant(TABLE), tf.constant(TARGET))
    np.testing.assert_allclose(found, expected_losses(probability, removes_hits), rtol=1e-5)
    assert np.any(np.abs(found - np.array(expected_losses(probability, not removes_hits))) > 0.1)


def test_before_counts_are_known_the_correction_has_no_effect():
    found = make_loss(counts=None)(tf.constant(QUERY), tf.constant(TABLE), tf.constant(TARGET))
    np.testing.assert_allclose(found, expected_losses(np.ones(ITEMS)), rtol=1e-5)


def test_gradient_is_sparse_and_touches_the_targets_alone():
    table = tf.Variable(TABLE)
    with tf.GradientTape() as tape:
        losses = make_loss()(tf.constant(QUERY), table, tf.constant(TARGET))
    gradient = tape.gradient(losses, table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert {*gradient.indices.numpy()} == {*TARGET}


def test_gradient_is_that_of_differences():
    loss, step = make_loss(), 1e-3
    query = tf.Variable(QUERY)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loss(query, tf.constant(TABLE), tf.constant(TARGET)))
    gradient = tape.gradient(total, query).numpy()
    for index in [(0, 0), (3, 1), (6, 2)]:
        around = []
        for sign in (1, -1):
            moved = QUERY.copy()
            moved[index] += sign * step
            losses = loss(tf.constant(moved), tf.constant(TABLE), tf.constant(TARGET))
            around.append(np.sum(losses, dtype=np.float64))
        expected = (around[0] - around[1]) / (2 * step)
        np.testing.assert_allclose(gradient[index], expected, atol=5e-3)


@pytest.mark.filterwarnings("ignore:In loss categorical_crossentropy")
def test_a_batch_of_one_has_nothing_to_learn():
    loss = make_loss()(tf.constant(QUERY[:1]), tf.constant(TABLE), tf.constant(TARGET[:1]))
    np.testing.assert_allclose(loss, [0.0], atol=1e-6)
