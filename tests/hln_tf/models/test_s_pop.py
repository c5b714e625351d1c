from fractions import Fraction

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions
from hln_tf.models.s_pop import SPop


def counted(counts, top_items):
    """A model of a log in which item i + 1 has `counts[i]` clicks."""
    model = SPop(len(counts), top_items=top_items)
    clicks = [item for item, count in enumerate(counts, 1) for _ in range(count)]
    model.fit_counts(Sessions.from_lists([clicks] if clicks else []))
    return model


def definition(counts, session, top_items):
    """S-POP's scores as fractions, and the order of items that they give.

    Of equal scores above 0 the item with the smaller index is first.
    """
    items = range(1, len(counts) + 1)
    top = sorted(items, key=lambda item: -counts[item - 1])[:top_items]
    scores = [
        session.count(item) + (Fraction(counts[item - 1], 1 + counts[item - 1]) * (item in top))
        for item in items
    ]
    return scores, sorted(items, key=lambda item: -scores[item - 1])


def test_scores_by_hand():
    # Item 3 is the most popular of the log, 2 the second, 1 and 5 are not among the top two.
    model = counted([2, 3, 4, 0, 1], top_items=2)
    scores = model.scores(tf.constant([[1, 4, 0, 1], [0, 3, 0, 0], [0, 0, 0, 0]]))
    popular = np.array([0, 1 / 3, 2 / 3, 0, 0])
    clicked = [[2, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(scores, clicked + popular, atol=1e-5)


@pytest.mark.parametrize("top_items", [4, 10**6])
def test_counts_too_large_for_float32_still_order_items(top_items):
    model = SPop(4, top_items=top_items)
    counts = [2**40, 2**40 + 1, 2**40 + 1, 2**41]
    model.item_counts.assign(counts)
    scores = model.scores(tf.constant([[1]])).numpy()[0]
    _, order = definition(counts, [1], top_items)
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable") + 1, order)
    assert len(set(scores)) == 4


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    counts=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    session=st.lists(st.integers(1, 6), max_size=8),
    top_items=st.integers(0, 8),
)
def test_the_ranking_is_that_of_the_definition(counts, session, top_items):
    scores = counted(counts, top_items).scores(tf.constant([[*session, 0]])).numpy()[0]
    exact, order = definition(counts, session, top_items)
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable") + 1, order)
    np.testing.assert_array_equal(np.floor(scores), [int(score) for score in exact])
    # Those that tie are items of which neither is among the popular ones, and no others.
    np.testing.assert_array_equal(scores % 1 == 0, [score % 1 == 0 for score in exact])


def test_counting_again_counts_afresh():
    model = counted([3, 1], top_items=1)
    model.fit_counts(Sessions.from_lists([[2, 2]]))
    np.testing.assert_allclose(model.scores(tf.constant([[1]])), [[1, 1 / 2]])
