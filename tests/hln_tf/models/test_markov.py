import itertools

import hypothesis
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions
from hln_tf.models.markov import Markov, last_items


def fitted(sessions, num_items):
    model = Markov(num_items)
    model.fit_counts(Sessions.from_lists(sessions))
    return model


def test_scores_by_hand():
    model = fitted([[1, 2, 1, 2, 3], [3, 1], [2, 2]], num_items=4)
    # Counts 3, 4, 2, 0 give the popularity 2/4, 3/4, 1/4, 0.
    # 2 followed 1 twice; 1, 2 and 3 followed 2 once each; 1 followed 3 once; nothing followed 4.
    # The last click of one session is not followed by the first of the next.
    scores = model.scores(tf.constant([[1], [2], [3], [4]]))
    counts = np.array([[0, 2, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    popularity = np.array([0.5, 0.75, 0.25, 0.0])
    np.testing.assert_allclose(scores, counts + popularity, atol=1e-6)


def test_the_last_click_alone_counts():
    model = fitted([[1, 2], [2, 3], [3, 1]], num_items=3)
    scores = model.scores(tf.constant([[2, 1, 3], [1, 3, 0], [0, 3, 0]]))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
    assert np.argmax(scores[0]) == 0


@hypothesis.settings(deadline=None, max_examples=20)
@hypothesis.given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=6), min_size=1))
def test_scores_are_those_of_a_dense_count(sessions):
    counts = np.zeros((6, 6))
    for session in sessions:
        for last, following in itertools.pairwise(session):
            counts[last - 1, following - 1] += 1
    scores = fitted(sessions, num_items=6).scores(tf.range(1, 7)[:, None]).numpy()
    np.testing.assert_array_equal(np.floor(scores), counts)


def test_counting_again_counts_afresh():
    model = fitted([[1, 2, 3]], num_items=3)
    model.fit_counts(Sessions.from_lists([[1, 3]]))
    np.testing.assert_array_equal(np.floor(model.scores(tf.constant([[1]]))), [[0, 0, 1]])


def test_last_items():
    items = tf.constant([[4, 2, 0], [0, 0, 7], [0, 3, 0], [5, 6, 1], [0, 0, 0]])
    np.testing.assert_array_equal(last_items(items), [1, 6, 2, 0, 0])
