import math

import hypothesis
import neighbor_oracles
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.models import SKNN, STAN

DAY = 86_400
LOG = [([1, 2, 3], 0), ([2, 2, 4], 1), ([3, 1], 2), ([5, 4, 2, 5], 3)]
# So large that the weight is 1.
NONE = 1e9


def fitted(log, num_items=8, model=STAN, **settings):
    """A model of a log whose dates are days."""
    model = model(num_items, **settings)
    model.fit_counts(neighbor_oracles.columns(log, seconds=DAY))
    return model


def oracle(log, query, settings):
    """The scores by the definition, over 8 items, for a session at the date of the latest one."""
    now = max(date for _, date in log)
    click_weights = {
        item: math.exp((neighbor_oracles.last(query, item) - len(query)) / settings["click_decay"])
        for item in set(query)
    }

    def similarity(session, date):
        shared = sum(click_weights[item] for item in set(session) & set(query))
        norms = math.sqrt(sum(w * w for w in click_weights.values()) * len(set(session)))
        return shared / norms * math.exp((date - now) / settings["session_decay"])

    def item_weight(session, item):
        last_shared = max(n for n, each in enumerate(session, start=1) if each in query)
        distance = abs(neighbor_oracles.last(session, item) - last_shared)
        return math.exp(-distance / settings["item_decay"])

    sizes = settings["sample_size"], settings["neighbors"]
    return neighbor_oracles.scores(log, query, 8, *sizes, similarity, item_weight)


def test_weights_of_clicks_by_hand():
    # Item 2 has the weight 1, item 1 has 1 / e, over the norm of both.
    model = fitted(LOG, 5, click_decay=1.0, session_decay=NONE, item_decay=NONE)
    e = math.exp(-1)
    norm = math.sqrt(1 + e**2)
    of_sessions = [(1 + e) / 3**0.5, 1 / 2**0.5, e / 2**0.5, 1 / 3**0.5]
    expected = [
        of_sessions[0] + of_sessions[2],
        of_sessions[0] + of_sessions[1] + of_sessions[3],
        of_sessions[0] + of_sessions[2],
        of_sessions[1] + of_sessions[3],
        of_sessions[3],
    ]
    scores = model.scores(tf.constant([[1, 2]]))
    np.testing.assert_allclose(scores, [np.array(expected) / norm], rtol=1e-6)


def test_older_sessions_weigh_less():
    log = [([1, 2], 0), ([1, 3], 4), ([1, 4], 6)]
    model = fitted(log, 4, click_decay=NONE, session_decay=2.0, item_decay=NONE)
    scores = model.scores(tf.constant([[1]])).numpy()[0]
    np.testing.assert_allclose(scores[1:] * 2**0.5, np.exp([-3, -1, 0]), rtol=1e-6)


def test_items_weigh_less_the_farther_they_are_from_the_last_shared_one():
    # Before and after it; of an item that was clicked twice the last click counts.
    model = fitted(
        [([2, 6, 1, 4, 5, 2], 0)], 6, click_decay=NONE, session_decay=NONE, item_decay=2.0
    )
    scores = model.scores(tf.constant([[1]])).numpy()[0]
    distances = np.array([0, 3, np.inf, 1, 2, 1])
    np.testing.assert_allclose(scores * 5**0.5, np.exp(-distances / 2), rtol=1e-6)


def test_without_weights_it_is_sknn():
    settings = {"sample_size": 3, "neighbors": 2}
    model = fitted(LOG, click_decay=NONE, session_decay=NONE, item_decay=NONE, **settings)
    items = tf.constant([[1, 2, 0], [2, 4, 5], [3, 3, 0]])
    expected = fitted(LOG, model=SKNN, **settings).scores(items)
    np.testing.assert_allclose(model.scores(items), expected, rtol=1e-6)


@neighbor_oracles.EXAMPLES
@hypothesis.given(
    log=neighbor_oracles.LOG,
    queries=neighbor_oracles.QUERIES,
    settings=st.fixed_dictionaries(
        {
            "sample_size": st.integers(1, 12),
            "neighbors": st.integers(1, 8),
            "click_decay": st.sampled_from([0.7, 1.02, 5.0]),
            "session_decay": st.sampled_from([0.9, 2.5, 10.0]),
            "item_decay": st.sampled_from([0.8, 2.05]),
        }
    ),
)
def test_scores_are_those_of_the_definition(log, queries, settings):
    scores = fitted(log, **settings).scores(tf.constant(neighbor_oracles.padded(queries)))
    expected = [oracle(log, query, settings) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_sessions_too_old_for_float32_do_not_count():
    model = fitted([([1, 2], 0), ([1, 3], 100)], session_decay=0.5)
    scores = model.scores(tf.constant([[1]])).numpy()[0]
    np.testing.assert_array_equal(scores > 0, [True, False, True] + [False] * 5)


@pytest.mark.parametrize("query", [[0, 0], [8, 7]])
def test_sessions_without_neighbours_score_0(query):
    for model in (fitted(LOG), STAN(8)):
        np.testing.assert_array_equal(model.scores(tf.constant([query])), np.zeros((1, 8)))
