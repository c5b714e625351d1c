import numpy as np
import tensorflow as tf

from hln_tf.data.sessions import Sessions
from hln_tf.models.popularity import Popularity, popularity_scores


def test_scores_by_hand():
    model = Popularity(5)
    # Item 3 has four clicks, 1 and 2 have two each, 5 has one and 4 none.
    model.fit_counts(Sessions.from_lists([[3, 1, 3], [2, 3], [3, 2, 1, 5]]))
    scores = model.scores(tf.constant([[4, 0], [1, 2]]))
    # Of items with equal counts the one with the smaller index is first.
    np.testing.assert_allclose(scores, [[3 / 5, 2 / 5, 4 / 5, 0, 1 / 5]] * 2, atol=1e-5)


def test_scores_are_distinct_whatever_the_counts():
    counts = np.random.default_rng(0).integers(0, 50, 40_000)
    scores = popularity_scores(tf.constant(counts)).numpy()
    assert len(np.unique(scores)) == len(counts)
    assert 0 <= scores.min() and scores.max() < 1
    order = np.argsort(-scores)
    np.testing.assert_array_equal(order, np.argsort(-counts, kind="stable"))


def test_counting_again_counts_afresh():
    model = Popularity(3)
    for sessions in ([[1, 1, 1]], [[2, 3, 3]]):
        model.fit_counts(Sessions.from_lists(sessions))
    np.testing.assert_array_equal(model.item_counts, [0, 1, 2])
