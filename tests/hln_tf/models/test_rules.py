import hypothesis
import numpy as np
import pair_oracles
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions
from hln_tf.models import AssociationRules, SequentialRules

SESSIONS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=8), min_size=1, max_size=12)
EACH = tf.range(1, 7)[:, None]


def fitted(model, sessions):
    model.fit_counts(Sessions.from_lists(sessions))
    return model


def test_association_rules_by_hand():
    # Item 2 occurs with 1 in both sessions, in the second as two clicks, which have two pairs with
    # each other as well; 3 occurs with 2 once, and 4 never.
    model = fitted(AssociationRules(4), [[1, 2, 3], [2, 1, 2]])
    scores = model.scores(tf.constant([[4, 2]])).numpy()[0]
    np.testing.assert_allclose(scores[:3], [3, 2, 1], rtol=1e-6)
    assert scores[3] == -1


def test_sequential_rules_by_hand():
    # After item 1: 2 at the distances 1 and 3, 3 at the distance 2, and 4 beyond the window.
    sessions = [[1, 2, 3, 2, 4]]
    scores = fitted(SequentialRules(4, window=3), sessions).scores(tf.constant([[2, 1, 0]]))
    np.testing.assert_allclose(scores[0, 1:3], [1 + 1 / 3, 1 / 2], rtol=1e-6)
    assert np.all(scores[0, ::3] < 0)


@hypothesis.settings(deadline=None, max_examples=15)
@hypothesis.given(sessions=SESSIONS)
def test_association_rules_are_those_of_the_definition(sessions):
    scores = fitted(AssociationRules(6), sessions).scores(EACH).numpy()
    for row, weights in zip(scores, pair_oracles.association_rules(sessions, 6), strict=True):
        pair_oracles.assert_scores(row, weights, sessions)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
    sessions=SESSIONS,
    window=st.integers(1, 12),
    weighting=st.sampled_from(sorted(pair_oracles.WEIGHTS)),
)
def test_sequential_rules_are_those_of_the_definition(sessions, window, weighting):
    scores = fitted(SequentialRules(6, window=window, weighting=weighting), sessions).scores(EACH)
    expected = pair_oracles.sequential_rules(sessions, 6, window, weighting)
    for row, weights in zip(scores.numpy(), expected, strict=True):
        pair_oracles.assert_scores(row, weights, sessions)


@pytest.mark.parametrize("model", [AssociationRules, SequentialRules])
def test_the_last_click_alone_counts(model):
    rules = fitted(model(3), [[1, 2], [2, 3], [3, 1]])
    scores = rules.scores(tf.constant([[2, 1, 3], [1, 3, 0], [0, 3, 0]]))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_many_items_of_equal_weight_are_in_the_order_of_popularity():
    # A thousand items each followed item 1 once, and a session of its own makes each popular.
    random = np.random.default_rng(0)
    clicks = random.permutation(np.arange(1, 1001))
    sessions = [[1, item] for item in range(2, 1002)]
    sessions += [[item] * int(count) for item, count in zip(range(2, 1002), clicks, strict=True)]
    scores = fitted(SequentialRules(1001, window=1), sessions).scores(tf.constant([[1]])).numpy()
    assert np.all(np.diff(scores[0, 1:][np.argsort(clicks)]) > 0)
    np.testing.assert_allclose(scores[0, 1:], 1, atol=1e-3)


@pytest.mark.parametrize("model", [AssociationRules, SequentialRules])
def test_counting_again_counts_afresh(model):
    rules = fitted(model(3), [[1, 2, 3]])
    fitted(rules, [[1, 3]])
    np.testing.assert_allclose(rules.scores(tf.constant([[1]])), [[-1 / 3, -1, 1]], rtol=1e-6)
