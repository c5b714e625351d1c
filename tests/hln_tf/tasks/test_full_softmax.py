import json

import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.common.errors import UsageError
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.tasks.full_softmax import LOSSES, FullSoftmaxRetrieval

REFERENCE = {"softmax": reference.softmax_cross_entropy, "equation_8": reference.equation_8}

# The softmax of these rows is [1/8, 2/8, 5/8] and [1/4, 1/4, 1/2].
SCORES = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
TARGET = np.array([1, 2])
BY_HAND = {
    "softmax": [-np.log(2 / 8), -np.log(1 / 2)],
    "equation_8": [
        -np.log(2 / 8) - np.log(7 / 8) - np.log(3 / 8),
        -np.log(1 / 2) - np.log(3 / 4) - np.log(3 / 4),
    ],
}


def loss_of(scores, target, loss_name, dtype=tf.float32, **kwargs):
    """The loss where the queries are the scores and item i has the i-th unit vector."""
    scores = tf.convert_to_tensor(scores, dtype)
    identity = tf.eye(scores.shape[1], dtype=dtype)
    task = FullSoftmaxRetrieval(loss_name)
    # Called as a layer, the task would cast float64 to float32.
    return (task if dtype == tf.float32 else task.call)(scores, identity, target=target, **kwargs)


def test_unknown_loss_is_refused():
    with pytest.raises(UsageError, match=r"`loss_name` must be one of .*, received 'hinge'"):
        FullSoftmaxRetrieval("hinge")


@pytest.mark.parametrize("loss_name", LOSSES)
def test_loss_by_hand(loss_name):
    expected = np.mean(BY_HAND[loss_name])
    np.testing.assert_allclose(loss_of(SCORES, TARGET, loss_name), expected, rtol=1e-6)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_loss_of_queries_and_candidates_is_that_of_the_reference(loss_name):
    random = np.random.default_rng(0)
    query, candidates = random.normal(size=(6, 4)), random.normal(size=(9, 4))
    target = random.integers(0, 9, 6)
    loss = FullSoftmaxRetrieval(loss_name)(
        tf.constant(query, tf.float32), tf.constant(candidates, tf.float32), target=target
    )
    expected = REFERENCE[loss_name](query @ candidates.T, target)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("spread", [0.0, 1.0, 10.0, 100.0])
def test_loss_is_that_of_the_reference_at_any_spread_of_scores(loss_name, spread):
    random = np.random.default_rng(1)
    scores = (spread * random.normal(size=(20, 7))).astype(np.float32)
    target = random.integers(0, 7, 20)
    expected = REFERENCE[loss_name](scores, target)
    np.testing.assert_allclose(loss_of(scores, target, loss_name), expected, rtol=1e-5)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_sample_weight_makes_the_mean_a_weighted_one(loss_name):
    loss = loss_of(SCORES, TARGET, loss_name, sample_weight=tf.constant([3.0, 1.0]))
    expected = np.average(BY_HAND[loss_name], weights=[3, 1])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_sample_weights_of_zero_give_the_loss_zero():
    assert loss_of(SCORES, TARGET, "softmax", sample_weight=tf.zeros([2])) == 0


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize(
    "scores", [[1e4, -1e4, 0.0], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4], [1e4, -1e4, -1e4]]
)
def test_saturated_scores(scores, target, loss_name):
    variable = tf.Variable([scores])
    with tf.GradientTape() as tape:
        loss = loss_of(variable, [target], loss_name)
    np.testing.assert_allclose(loss, REFERENCE[loss_name]([scores], [target]), rtol=1e-5)
    gradient = tape.gradient(loss, variable).numpy()
    assert np.all(np.isfinite(gradient))
    # A common shift of all scores changes nothing.
    np.testing.assert_allclose(gradient.sum(), 0.0, atol=1e-5)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_gradient_is_that_of_finite_differences(loss_name):
    random = np.random.default_rng(2)
    scores, target = 2 * random.normal(size=(3, 5)), [0, 4, 2]
    variable = tf.Variable(scores)
    with tf.GradientTape() as tape:
        loss = loss_of(variable, target, loss_name, dtype=tf.float64)
    gradient = tape.gradient(loss, variable)
    step = 1e-6
    for row, column in np.ndindex(scores.shape):
        moved = [scores.copy(), scores.copy()]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        upper, lower = (REFERENCE[loss_name](where, target) for where in moved)
        np.testing.assert_allclose(gradient[row, column], (upper - lower) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_a_catalogue_of_one_item_has_nothing_to_learn(loss_name):
    variable = tf.Variable([[3.0]])
    with tf.GradientTape() as tape:
        loss = loss_of(variable, [0], loss_name)
    assert loss == 0
    assert tape.gradient(loss, variable) == 0


def test_metrics_are_updated_only_where_asked_for():
    ranking = FullCatalogueRanking(candidates=lambda: tf.eye(3), ks=(1, 2))
    task = FullSoftmaxRetrieval(metrics=[ranking])
    query = tf.constant(SCORES, tf.float32)
    task(query, tf.eye(3), target=TARGET, compute_metrics=False)
    assert ranking.results() == {"recall@1": 0.0, "recall@2": 0.0, "mrr@1": 0.0, "mrr@2": 0.0}
    # The targets have the ranks 2 and 1.
    task(query, tf.eye(3), target=TARGET, compute_metrics=True)
    assert ranking.results() == {"recall@1": 0.5, "recall@2": 1.0, "mrr@1": 0.5, "mrr@2": 0.75}


@pytest.mark.parametrize("loss_name", LOSSES)
def test_config_round_trip(loss_name):
    task = FullSoftmaxRetrieval(loss_name, name="task")
    copy = FullSoftmaxRetrieval.from_config(json.loads(json.dumps(task.get_config())))
    assert copy.name == "task"
    arguments = (tf.constant(SCORES, tf.float32), tf.eye(3))
    assert copy(*arguments, target=TARGET) == task(*arguments, target=TARGET)
