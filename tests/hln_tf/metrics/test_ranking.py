import json
from fractions import Fraction

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
import tiny_models

from hln_tf.data.sessions import Sessions
from hln_tf.layers.catalogue_scores import chunk_width, target_ranks
from hln_tf.metrics import KS, FullCatalogueRanking, MRRAtK, RecallAtK
from hln_tf.training.evaluation import evaluate_sessions

NAN = float("nan")
INF = float("inf")
METRICS = [RecallAtK, MRRAtK]
# The value of an example of each rank, with k = 3.
BY_RANK = {RecallAtK: [1, 1, 1, 0, 0], MRRAtK: [1, 1 / 2, 1 / 3, 0, 0]}


@pytest.mark.parametrize("metric_class", METRICS)
def test_value_of_each_rank_by_hand(metric_class):
    for rank, expected in enumerate(BY_RANK[metric_class], start=1):
        metric = metric_class(3)
        metric.update_state([rank])
        assert float(metric.result()) == expected


@pytest.mark.parametrize("metric_class", METRICS)
@pytest.mark.parametrize("weight_type", [np.float32, np.float64, np.int64])
def test_sample_weights_make_a_weighted_mean(metric_class, weight_type):
    weight = np.array([2, 0, 1, 3, 4], weight_type)
    metric = metric_class(3)
    metric.update_state(tf.range(1, 6), sample_weight=tf.constant(weight))
    expected = np.average(BY_RANK[metric_class], weights=weight)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric_class", METRICS)
def test_without_examples_or_with_weights_of_zero_it_is_zero(metric_class):
    metric = metric_class(3)
    assert float(metric.result()) == 0.0
    metric.update_state([1, 2], sample_weight=[0.0, 0.0])
    assert float(metric.result()) == 0.0


def test_sums_over_many_batches_are_exact_to_1e_12():
    """A sum in float32 of as many reciprocal ranks is off by more than a thousand times that."""
    ranks = np.random.default_rng(0).integers(1, 40, [400, 250])
    ranking = FullCatalogueRanking([3, 20])
    for batch in ranks:
        ranking.update_from_ranks(tf.constant(batch))
    by_rank = np.bincount(ranks.ravel(), minlength=40)
    for k in (3, 20):
        hits = by_rank[1 : k + 1].tolist()
        reciprocal = sum(Fraction(count, rank) for rank, count in enumerate(hits, start=1))
        found = ranking.results()
        assert abs(found[f"recall@{k}"] - sum(hits) / ranks.size) < 1e-12
        assert abs(found[f"mrr@{k}"] - float(reciprocal / ranks.size)) < 1e-12
    single = np.cumsum(np.where(ranks <= 20, 1 / ranks, 0).ravel().astype(np.float32))[-1]
    assert abs(single / ranks.size - found["mrr@20"]) > 1e-9


def test_evaluation_of_a_model_is_as_exact():
    items, target = tiny_models.examples(count=300)
    model = tiny_models.make("markov")
    model.fit_counts(Sessions.from_lists(tiny_models.walks()))
    model.compile()
    ranks = model.compiled_rank_targets(items, target.astype(np.int32))[0].numpy()
    by_keras = model.evaluate(tiny_models.dicts(items, target), return_dict=True, verbose=0)
    rows = [
        np.append(row[row > 0], last).astype(np.int32)
        for row, last in zip(items, target, strict=True)
    ]
    last = evaluate_sessions(model, [row[-2:] for row in rows], KS, 50, 7)
    for k in KS:
        expected = float(sum(Fraction(1, int(rank)) for rank in ranks if rank <= k) / len(ranks))
        assert abs(by_keras[f"mrr@{k}"] - expected) < 1e-12
        # A Markov chain has the last click alone, so that these examples have the same ranks.
        assert abs(last[f"mrr@{k}"] - expected) < 1e-12


@pytest.mark.parametrize("metric_class", METRICS)
def test_reset_forgets(metric_class):
    metric = metric_class(3)
    metric.update_state([1])
    metric.reset_state()
    metric.update_state([4])
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize("metric_class", METRICS)
def test_merged_metrics_are_one_over_all_batches(metric_class):
    ranks = np.random.default_rng(0).integers(1, 6, 50)
    whole, parts = metric_class(3), [metric_class(3) for _ in range(3)]
    whole.update_state(ranks)
    for part, (first, end) in zip(parts, [(0, 31), (31, 49), (49, 50)], strict=True):
        part.update_state(ranks[first:end])
    parts[0].merge_state(parts[1:])
    assert float(parts[0].result()) == pytest.approx(float(whole.result()), rel=1e-12)
    assert float(parts[0].count) == 50


@pytest.mark.parametrize("metric_class", METRICS)
def test_sums_of_many_examples_do_not_stall(metric_class):
    """In float32, one more than 2 ** 25 is 2 ** 25."""
    metric = metric_class(3)
    metric.update_state([4], sample_weight=[2.0**25])
    for _ in range(8):
        metric.update_state([1])
    assert metric.dtype == "float64"
    assert float(metric.count) == 2**25 + 8
    assert float(metric.result()) == 8 / (2**25 + 8)


@pytest.mark.parametrize("metric_class", METRICS)
def test_it_is_a_keras_metric_with_a_name_and_a_config(metric_class):
    default = "recall@7" if metric_class is RecallAtK else "mrr@7"
    assert metric_class(7).name == default
    assert metric_class(k=20).name == metric_class().name
    metric = metric_class(7, name="renamed")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    copy = keras.saving.deserialize_keras_object(config)
    assert (type(copy), copy.k, copy.name) == (metric_class, 7, "renamed")
    for each in (metric, copy):
        each.update_state([1, 7, 8])
    assert float(copy.result()) == float(metric.result()) > 0


@pytest.mark.parametrize("metric_class", METRICS)
@pytest.mark.parametrize("k", [0, -1, 2.5])
def test_a_wrong_cut_off_is_refused(metric_class, k):
    with pytest.raises(ValueError, match=f"`k` must be an integer of at least 1, received {k}"):
        metric_class(k)


@pytest.mark.parametrize("metric_class", METRICS)
def test_it_counts_in_a_graph(metric_class):
    metric = metric_class(3)

    @tf.function
    def update(ranks):
        metric.update_state(ranks)

    update(tf.constant([1, 4]))
    update(tf.constant([2, 5]))
    expected = np.mean([BY_RANK[metric_class][rank - 1] for rank in (1, 4, 2, 5)])
    assert float(metric.result()) == pytest.approx(expected)


def results(scores, target, ks=KS):
    ranking = FullCatalogueRanking(ks=ks)
    ranking.update_from_ranks(target_ranks(tf.constant(scores, tf.float32), tf.constant(target)))
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
def test_a_constant_scorer_has_metrics_of_zero(value):
    found = results(np.full((21, 21), value), np.arange(21))
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("weighted", [False, True])
def test_accumulates_over_batches_of_unequal_size(weighted):
    random = np.random.default_rng(0)
    scores = tf.constant(random.normal(size=(50, 30)), tf.float32)
    target = tf.constant(random.integers(0, 30, 50))
    weight = random.random(50) if weighted else np.ones(50)
    ranking = FullCatalogueRanking()
    for start, end in [(0, 32), (32, 49), (49, 50)]:
        ranks = target_ranks(scores[start:end], target[start:end])
        ranking.update_from_ranks(ranks, tf.constant(weight[start:end]) if weighted else None)
    ranks = reference.ranks(scores.numpy(), target.numpy())
    for k in KS:
        expected = np.average(ranks <= k, weights=weight)
        np.testing.assert_allclose(ranking.results()[f"recall@{k}"], expected, rtol=1e-12)
        expected = np.average(np.where(ranks <= k, 1 / ranks, 0), weights=weight)
        np.testing.assert_allclose(ranking.results()[f"mrr@{k}"], expected, rtol=1e-12)


def test_queries_have_the_ranks_of_their_scores_and_follow_the_candidates():
    random = np.random.default_rng(1)
    table = tf.Variable(random.normal(size=(3_000, 8)), dtype=tf.float32)
    query = tf.constant(random.normal(size=(100, 8)), tf.float32)
    target = tf.constant(random.integers(0, 3_000, 100))
    weight = tf.constant(random.random(100))
    by_query = FullCatalogueRanking(candidates=lambda: table, megabytes=1, ks=(100, 1_000))
    by_scores = FullCatalogueRanking(ks=(100, 1_000))
    assert chunk_width(3_000, 100, 1) < 3_000
    for _ in range(2):
        by_query.update_state(query, true_candidate_ids=target, sample_weight=weight)
        scores = tf.matmul(query, table, transpose_b=True)
        by_scores.update_from_ranks(target_ranks(scores, target), weight)
        table.assign(-table)
    assert by_query.results() == by_scores.results()
    assert by_query.results()["recall@1000"] > 0


def test_reset_of_the_ranking_forgets_all():
    ranking = FullCatalogueRanking()
    ranking.update_from_ranks(tf.constant([1]))
    assert ranking.results()["recall@5"] == 1.0
    ranking.reset_states()
    ranking.update_from_ranks(tf.constant([30]))
    assert set(ranking.results().values()) == {0.0}


def test_config_round_trip_of_the_ranking():
    ranking = FullCatalogueRanking(ks=(1, 3), megabytes=5, name="of_test")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(ranking)))
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.ks, copy.megabytes, copy.name) == ((1, 3), 5, "of_test")
    for each in (ranking, copy):
        each.update_from_ranks(tf.constant([3, 1]))
    assert ranking.results() == copy.results()
    assert copy.results()["mrr@3"] == pytest.approx((1 / 3 + 1) / 2)
