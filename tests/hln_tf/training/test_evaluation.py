"""Evaluation ranks equal examples once and encodes sessions once; the ranks are those of each."""

import numpy as np
import pytest
import reference
import small_hln
import tensorflow as tf
from session_lists import to_sessions

from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.models import GRU4Rec, Popularity
from hln_tf.training.evaluation import evaluate, evaluate_sessions

KS = (5, 10, 20)
MAX_LENGTH = 4


def make_lists(lowest=1):
    """Sessions of 2 to 9 clicks, some of them longer than `MAX_LENGTH`, some of them twice."""
    random = np.random.default_rng(2)
    lists = [
        random.integers(lowest, small_hln.NUM_ITEMS + 1, random.integers(2, 10)).tolist()
        for _ in range(40)
    ]
    return lists + lists[:15]


def expected_metrics(model, lists):
    """Metrics of ranks that the scores of each prefix by itself give."""
    scores = tf.function(model, input_signature=[tf.TensorSpec([1, None], tf.int32)])
    ranks = [
        reference.ranks(
            scores(np.int32([session[max(0, end - MAX_LENGTH) : end]])).numpy(), [item - 1]
        )[0]
        for session in lists
        for end, item in enumerate(session)
        if end
    ]
    metrics = {f"recall@{k}": reference.recall_at(np.array(ranks), k) for k in KS}
    return metrics | {f"mrr@{k}": reference.mrr_at(np.array(ranks), k) for k in KS}


MODELS = {
    "additive": small_hln.make_model,
    "exclusive": lambda: small_hln.make_model(leap_gate="predictive", exclusive_groups=True),
    "gru4rec": lambda: GRU4Rec(small_hln.NUM_ITEMS, embedding_dim=4),
    "repeat head": lambda: small_hln.make_model(repeat_head=True),
    "popularity": lambda: Popularity(small_hln.NUM_ITEMS),
}


@pytest.fixture(scope="module", params=MODELS)
def model_and_expected(request):
    model, lists = MODELS[request.param](), make_lists()
    model.fit_counts(lists)
    return model, expected_metrics(model, lists)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_metrics_are_those_of_each_prefix_by_itself(model_and_expected, batch_size):
    model, expected = model_and_expected
    lists = make_lists()
    prefixes = Prefixes.from_sessions(to_sessions(lists), MAX_LENGTH)
    with StopOnSignal() as stop:
        found = evaluate(model, prefixes, batch_size, "test", stop)
    assert found == pytest.approx(expected, rel=1e-6)
    of_sessions = evaluate_sessions(model, lists, KS, MAX_LENGTH, batch_size)
    assert {metric: of_sessions[metric] for metric in found} == found
