import math

import hypothesis
import neighbor_oracles
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.models import VSKNN

OF_CLICKS = {
    "same": lambda position, length: 1.0,
    "linear": lambda position, length: max(1.0 - 0.1 * (length - position), 0.0),
    "div": lambda position, length: position / length,
    "log": lambda position, length: 1.0 / math.log10(length - position + 1.7),
    "quadratic": lambda position, length: (position / length) ** 2,
}
OF_STEPS = {
    "same": lambda step: 1.0,
    "linear": lambda step: max(1.0 - 0.1 * step, 0.0),
    "div": lambda step: 1.0 / step,
    "log": lambda step: 1.0 / math.log10(step + 1.7),
    "quadratic": lambda step: 1.0 / step**2,
}
LOG = [([1, 2, 3], 0), ([2, 2, 4], 1), ([3, 1], 2), ([5, 4, 2, 5], 3)]


def fitted(log, num_items=8, **settings):
    model = VSKNN(num_items, **settings)
    model.fit_counts(neighbor_oracles.columns(log))
    return model


def oracle(log, query, settings):
    """The scores by the definition, over 8 items."""

    def similarity(session, date):
        weight = OF_CLICKS[settings["weighting"]]
        shared = set(session) & set(query)
        weights = [weight(neighbor_oracles.last(query, item), len(query)) for item in shared]
        return sum(weights) / len(set(query))

    def item_weight(session, item):
        step = min(query[::-1].index(each) + 1 for each in set(session) & set(query))
        clicks = sum(each.count(item) for each, _ in log)
        idf = max(math.log(len(log) / clicks), 0.0)
        return OF_STEPS[settings["score_weighting"]](step) * (1 + settings["idf_weight"] * idf)

    sizes = settings["sample_size"], settings["neighbors"]
    return neighbor_oracles.scores(log, query, 8, *sizes, similarity, item_weight)


def test_scores_by_hand():
    # In [1, 2] item 2 has the weight 1 and item 1 the weight 1/2. Over two items the sessions have
    # the similarities 3/4, 1/2, 1/4 and 1/2; the third shares the click before the last alone.
    scores = fitted(LOG, num_items=5).scores(tf.constant([[1, 2]]))
    expected = [3 / 4 + 1 / 8, 3 / 4 + 1 / 2 + 1 / 2, 3 / 4 + 1 / 8, 1 / 2 + 1 / 2, 1 / 2]
    np.testing.assert_allclose(scores, [expected], rtol=1e-6)


def test_rare_items_gain_by_idf():
    # Item 5 has 2 clicks in 4 sessions, item 4 as many, and item 2 as many as there are sessions.
    plain = fitted(LOG, num_items=5).scores(tf.constant([[4]])).numpy()[0]
    weighted = fitted(LOG, num_items=5, idf_weight=3.0).scores(tf.constant([[4]])).numpy()[0]
    np.testing.assert_allclose(weighted[1], plain[1], rtol=1e-6)
    np.testing.assert_allclose(weighted[3:], plain[3:] * (1 + 3 * math.log(2)), rtol=1e-6)


@neighbor_oracles.EXAMPLES
@hypothesis.given(
    log=neighbor_oracles.LOG,
    queries=neighbor_oracles.QUERIES,
    settings=st.fixed_dictionaries(
        {
            "sample_size": st.integers(1, 12),
            "neighbors": st.integers(1, 8),
            "weighting": st.sampled_from(sorted(OF_CLICKS)),
            "score_weighting": st.sampled_from(sorted(OF_STEPS)),
            "idf_weight": st.sampled_from([0.0, 2.0]),
        }
    ),
)
def test_scores_are_those_of_the_definition(log, queries, settings):
    scores = fitted(log, **settings).scores(tf.constant(neighbor_oracles.padded(queries)))
    expected = [oracle(log, query, settings) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_scores_are_those_of_the_definition_in_a_large_log():
    random = np.random.default_rng(0)
    log = [
        (list(np.minimum(random.zipf(1.4, random.integers(1, 12)), 8)), int(date))
        for date in random.integers(0, 500, 2000)
    ]
    queries = [list(random.integers(1, 9, random.integers(1, 30))) for _ in range(16)]
    settings = {"sample_size": 300, "neighbors": 100, "idf_weight": 1.0}
    settings |= {"weighting": "log", "score_weighting": "quadratic"}
    scores = fitted(log, **settings).scores(tf.constant(neighbor_oracles.padded(queries)))
    expected = [oracle(log, query, settings) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_neighbours_of_equal_weights_are_as_near():
    # 1/10 + 2/10 and 3/10: the more recent of the two counts, whichever it is.
    query = list(range(1, 11))
    for first, second in (([1, 2, 11], [3, 12]), ([3, 11], [1, 2, 12])):
        model = fitted([(first, 0), (second, 1)], num_items=12, neighbors=1)
        scores = model.scores(tf.constant([query])).numpy()[0]
        assert scores[11] > 0 and scores[10] == 0


@pytest.mark.parametrize("query", [[0, 0], [8, 7]])
def test_sessions_without_neighbours_score_0(query):
    for model in (fitted(LOG), VSKNN(8)):
        np.testing.assert_array_equal(model.scores(tf.constant([query])), np.zeros((1, 8)))


def test_without_weights_the_nearest_are_those_that_share_most_items():
    settings = {"weighting": "same", "score_weighting": "same", "neighbors": 2}
    scores = fitted(LOG, num_items=5, **settings).scores(tf.constant([[1, 2]])).numpy()
    # The first session shares both items; of those that share one the last is the most recent.
    np.testing.assert_allclose(scores, [[1, 1.5, 1, 0.5, 0.5]])
