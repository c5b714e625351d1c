import math

import numpy as np
import pytest
import pytrec_eval

from hln_tf.metrics import MRRAtK, NDCGAtK, RecallAtK, means_of_ranks, metric_names, values_of_ranks

KS = (1, 5, 10, 20, 100)


def oracle(name, rank):
    """A metric of one example, by its definition with a list and its relevance."""
    measure, k = name.split("@")
    relevance = [position == rank for position in range(1, int(k) + 1)]
    if measure == "recall":
        return float(sum(relevance))
    if measure == "precision":
        return sum(relevance) / int(k)
    if measure == "mrr":
        return sum(hit / position for position, hit in enumerate(relevance, start=1))
    return sum(hit / math.log2(position + 1) for position, hit in enumerate(relevance, start=1))


@pytest.mark.parametrize("name", metric_names(KS))
def test_every_metric_equals_its_definition(name):
    """Ranks of a catalogue of 60, so that one cut-off is above its size; the last is unknown."""
    ranks = np.append(np.random.default_rng(0).integers(1, 61, 500), np.iinfo(np.int32).max)
    expected = [oracle(name, rank) for rank in ranks.tolist()]
    np.testing.assert_allclose(values_of_ranks(name, ranks), expected, rtol=0, atol=1e-15)
    assert abs(means_of_ranks(ranks, KS)[name] - np.mean(expected)) < 1e-12


def test_metrics_equal_those_of_trec_eval():
    """One relevant document of each query; HitRate is Recall and MAP is MRR."""
    ranks = np.random.default_rng(1).integers(1, 31, 200)
    documents = [f"d{place:02}" for place in range(30)]
    relevant = {str(q): {documents[rank - 1]: 1} for q, rank in enumerate(ranks)}
    scores = {name: float(30 - place) for place, name in enumerate(documents)}
    measures = {
        "recall": "recall",
        "mrr": "map_cut",
        "ndcg": "ndcg_cut",
        "precision": "P",
        "hit": "success",
    }
    asked = {f"{name}.5,10,20" for name in measures.values()}
    found = pytrec_eval.RelevanceEvaluator(relevant, asked).evaluate(
        dict.fromkeys(relevant, scores)
    )
    means = means_of_ranks(ranks, (5, 10, 20))
    for measure, other in measures.items():
        for k in (5, 10, 20):
            expected = np.mean([row[f"{other}_{k}"] for row in found.values()])
            name = f"{'recall' if measure == 'hit' else measure}@{k}"
            assert means[name] == pytest.approx(expected, abs=1e-12), measure


@pytest.mark.parametrize("cls", [RecallAtK, MRRAtK, NDCGAtK])
def test_keras_metrics_are_the_means(cls):
    """In float64, batch by batch, so that a million examples add up without an error."""
    ranks = np.random.default_rng(2).integers(1, 41, 100_000)
    metric = cls(20)
    for batch in np.array_split(ranks, 7):
        metric.update_state(batch)
    expected = math.fsum(values_of_ranks(metric.name, ranks)) / len(ranks)
    assert abs(float(metric.result()) - expected) < 1e-12


def test_without_examples_metrics_are_not_a_number():
    assert all(math.isnan(value) for value in means_of_ranks(np.empty(0, int), KS).values())


@pytest.mark.parametrize("name", ["auc@5", "mrr", "mrr@0", "mrr@five", "mrr@-1"])
def test_an_unknown_metric_is_refused(name):
    with pytest.raises(ValueError, match="expected one of recall, mrr, ndcg, precision"):
        values_of_ranks(name, np.array([1]))
