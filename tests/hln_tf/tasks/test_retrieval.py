"""The task: training losses, and losses and ranks of an evaluation from the same chunks."""

import json

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
from one_step import pairwise_loss

from hln_tf.layers.catalogue_scores import chunk_width
from hln_tf.layers.choices import LOSSES
from hln_tf.metrics import FullCatalogueRanking
from hln_tf.tasks import FullCatalogueRetrieval, RetrievalLoss, get

ITEMS, D, BATCH = 2_001, 4, 200
PENALTY = 0.3
SEED = tf.constant([3, 4])


def make_task(name, **arguments):
    loss = get(name, num_negatives=20, score_penalty=PENALTY)
    loss.prepare(ITEMS)
    loss.fit_counts(np.arange(ITEMS))
    return FullCatalogueRetrieval(loss, FullCatalogueRanking(**arguments))


@pytest.fixture(scope="module")
def problem():
    """Embeddings of small integers: all products are exact, and ties are the rule."""
    random = np.random.default_rng(0)
    query, table = (random.integers(-2, 3, (rows, D)).astype("f") for rows in (BATCH, ITEMS))
    target = random.integers(0, ITEMS, BATCH)
    target[100:] = np.argmax(query[100:] @ table.T, axis=1)
    return query, table, target, random.random(BATCH).astype("f")


def evaluation_losses(name, loss, query, table, target):
    """The loss of each example in evaluation, in NumPy."""
    scores = query.astype(np.float64) @ table.T
    losses = []
    for row, t in zip(scores, target, strict=True):
        if name == "equation_8":
            losses.append(reference.equation_8([row], [t]))
        elif name in ("softmax", "sampled", "in_batch"):
            losses.append(-reference.log_softmax(row)[t])
        else:
            negatives = loss.negatives(tf.constant([0, 0])).numpy()
            losses.append(pairwise_loss(name, row, t, negatives, PENALTY * (name == "bpr_max")))
    return losses


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_evaluation_is_that_of_numpy_in_chunks_and_at_once(problem, name, weighted):
    query, table, target, weight = problem
    is_slow = name == "equation_8"  # the reference is quadratic in the catalogue
    if is_slow:
        query, target, weight = query[95:103], target[95:103], weight[95:103]
    weight = weight if weighted else None
    ranks = reference.ranks(query @ table.T, target)
    for megabytes in (1, 100):
        task = make_task(name, ks=(5, 200), megabytes=megabytes)
        is_chunked = chunk_width(ITEMS, len(query), megabytes) < ITEMS
        assert is_chunked == (megabytes == 1 and not is_slow)
        found = task(tf.constant(query), tf.constant(table), target, sample_weight=weight)
        expected = evaluation_losses(name, task.retrieval_loss, query, table, target)
        np.testing.assert_allclose(found, np.average(expected, weights=weight), rtol=1e-5)
        results = task.ranking.results()
        for k in (5, 200):
            hits = np.average(ranks <= k, weights=weight)
            reciprocal = np.average(np.where(ranks <= k, 1 / ranks, 0), weights=weight)
            np.testing.assert_allclose(results[f"recall@{k}"], hits, rtol=1e-6)
            np.testing.assert_allclose(results[f"mrr@{k}"], reciprocal, rtol=1e-6)
            assert is_slow or 0 < hits < 1


@pytest.mark.parametrize("name", LOSSES)
def test_training_is_the_weighted_mean_of_the_losses_and_updates_no_metric(problem, name):
    query, table, target, weight = problem
    task = make_task(name)
    arguments = (tf.constant(query), tf.constant(table))
    losses = task.retrieval_loss(*arguments, tf.constant(target), seed=SEED)
    in_training = {"compute_metrics": False, "seed": SEED}
    np.testing.assert_allclose(task(*arguments, target, **in_training), np.mean(losses), rtol=1e-5)
    found = task(*arguments, target, sample_weight=weight, **in_training)
    np.testing.assert_allclose(found, np.average(losses, weights=weight), rtol=1e-5)
    assert set(task.ranking.results().values()) == {0.0}


@pytest.mark.parametrize("compute_metrics", [False, True])
def test_weights_of_zero_give_the_loss_zero(problem, compute_metrics):
    query, table, target, _ = problem
    task = make_task("softmax")
    arguments = (tf.constant(query), tf.constant(table), target)
    loss = task(*arguments, sample_weight=tf.zeros(BATCH), compute_metrics=compute_metrics)
    assert loss == 0
    assert set(task.ranking.results().values()) == {0.0}


def test_batches_accumulate_in_the_metrics():
    task = FullCatalogueRetrieval(get("softmax"), FullCatalogueRanking(ks=(1, 2)))
    # The targets have the ranks 2, 1 and 3.
    task(tf.constant([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]]), tf.eye(3), [1, 2])
    task(tf.constant([[1.0, 2.0, 3.0]]), tf.eye(3), [0])
    assert task.ranking.results() == pytest.approx(
        {"recall@1": 1 / 3, "recall@2": 2 / 3, "mrr@1": 1 / 3, "mrr@2": 1 / 2}
    )


@pytest.mark.parametrize("name", LOSSES)
def test_config_round_trip(problem, name):
    query, table, target, _ = problem
    task = make_task(name, ks=(7,), megabytes=2)
    task._name = "renamed"
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(task)))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.name == "renamed"
    assert (copy.ranking.ks, copy.ranking.megabytes) == ((7,), 2)
    copy.retrieval_loss.prepare(ITEMS)
    copy.retrieval_loss.fit_counts(np.arange(ITEMS))
    arguments = (tf.constant(query), tf.constant(table), target)
    assert copy(*arguments) == task(*arguments)
    assert copy(*arguments, compute_metrics=False) == task(*arguments, compute_metrics=False)
    assert copy.ranking.results() == task.ranking.results()


def test_an_own_loss_is_evaluated_as_in_training(problem):
    class Constant(RetrievalLoss):
        def call(self, query, candidates, target, seed=None):
            return tf.fill([tf.shape(query)[0]], 3.0)

    query, table, target, _ = problem
    task = FullCatalogueRetrieval(Constant(), FullCatalogueRanking())
    assert task(tf.constant(query), tf.constant(table), target) == 3.0
    assert task.ranking.results()["recall@20"] > 0
