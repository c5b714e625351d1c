import json

import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.metrics.ranking import KS, FullCatalogueRanking

NAN = float("nan")
INF = float("inf")


def results(scores, target, ks=KS):
    ranking = FullCatalogueRanking(ks=ks)
    ranking.update_from_scores(tf.constant(scores, tf.float32), tf.constant(target))
    return ranking.results()


def test_queries_without_candidates_are_refused():
    with pytest.raises(ValueError, match="`candidates` is None"):
        FullCatalogueRanking().update_state(tf.zeros([1, 2]), None, tf.constant([0]))


def test_recall_and_mrr_by_hand():
    # Targets at the ranks 1, 5, 6 and 11 of 12 items.
    scores = np.tile(np.arange(12.0, 0.0, -1.0), (4, 1))
    assert results(scores, [0, 4, 5, 10], ks=(5, 10, 12)) == pytest.approx(
        {
            "recall@5": 2 / 4,
            "recall@10": 3 / 4,
            "recall@12": 1.0,
            "mrr@5": (1 + 1 / 5) / 4,
            "mrr@10": (1 + 1 / 5 + 1 / 6) / 4,
            "mrr@12": (1 + 1 / 5 + 1 / 6 + 1 / 11) / 4,
        }
    )


def test_default_cut_offs_are_those_of_the_results_table():
    assert list(results([[1.0, 0.0]], [0])) == [
        *("recall@5", "recall@10", "recall@20"),
        *("mrr@5", "mrr@10", "mrr@20"),
    ]


@pytest.mark.parametrize("value", [0.0, 1.5, NAN, INF])
def test_a_constant_scorer_gets_nothing(value):
    found = results(np.full((21, 21), value), np.arange(21))
    assert set(found.values()) == {0.0}


def test_accumulates_over_batches_of_unequal_size():
    random = np.random.default_rng(0)
    scores = tf.constant(random.normal(size=(50, 30)), tf.float32)
    target = tf.constant(random.integers(0, 30, 50))
    ranking = FullCatalogueRanking()
    for start, end in [(0, 32), (32, 49), (49, 50)]:
        ranking.update_from_scores(scores[start:end], target[start:end])
    ranks = reference.ranks(scores.numpy(), target.numpy())
    for k in KS:
        np.testing.assert_allclose(
            ranking.results()[f"recall@{k}"], reference.recall_at(ranks, k), rtol=1e-6
        )
        np.testing.assert_allclose(
            ranking.results()[f"mrr@{k}"], reference.mrr_at(ranks, k), rtol=1e-6
        )


def test_queries_give_what_their_scores_give_and_follow_the_candidates():
    random = np.random.default_rng(1)
    table = tf.Variable(random.normal(size=(40, 8)), dtype=tf.float32)
    query = tf.constant(random.normal(size=(64, 8)), tf.float32)
    target = tf.constant(random.integers(0, 40, 64))
    by_query = FullCatalogueRanking(candidates=lambda: table)
    by_scores = FullCatalogueRanking()
    for _ in range(2):
        by_query.update_state(query, true_candidate_ids=target)
        by_scores.update_from_scores(tf.matmul(query, table, transpose_b=True), target)
        table.assign(-table)
    assert by_query.results() == by_scores.results()
    assert by_query.results()["recall@20"] > 0


def test_reset_forgets():
    ranking = FullCatalogueRanking()
    ranking.update_from_scores(tf.constant([[1.0, 0.0]]), tf.constant([0]))
    assert ranking.results()["recall@5"] == 1.0
    ranking.reset_states()
    ranking.update_from_scores(tf.zeros([1, 30]), tf.constant([0]))
    assert ranking.results()["recall@5"] == 0.0


def test_config_round_trip():
    ranking = FullCatalogueRanking(ks=(1, 3), name="of_test")
    copy = FullCatalogueRanking.from_config(json.loads(json.dumps(ranking.get_config())))
    assert (copy.ks, copy.name) == ((1, 3), "of_test")
    scores, target = tf.constant([[1.0, 3.0, 2.0]]), tf.constant([0])
    for each in (ranking, copy):
        each.update_from_scores(scores, target)
    assert ranking.results() == copy.results()
    assert copy.results()["mrr@3"] == pytest.approx(1 / 3)
