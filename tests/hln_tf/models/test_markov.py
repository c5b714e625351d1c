import hypothesis
import numpy as np
import pair_oracles
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions
from hln_tf.models.markov import FARTHEST, Markov

SESSION = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def fitted(sessions, num_items, **settings):
    model = Markov(num_items, **settings)
    model.fit_counts(Sessions.from_lists(sessions))
    return model


def shares(rules):
    return rules / np.maximum(rules.sum(axis=1, keepdims=True), 1e-300)


def return_rate(sessions, distance):
    """Of the pairs of a click and the latest one on another's item, the share on that item."""
    returns = chances = 0
    for session in sessions:
        for x in range(len(session)):
            for item in set(session[:x]):
                latest = max(y for y in range(x) if session[y] == item)
                if min(x - latest, FARTHEST) == distance:
                    chances += 1
                    returns += session[x] == item
    return returns / max(chances, 1)


def oracle(sessions, query, window, weighting, last_clicks, repeat_prior):
    """The scores of items by the definition, 0 where it gives none, [6]."""
    weight = pair_oracles.WEIGHTS[weighting]
    transitions = shares(pair_oracles.sequential_rules(sessions, 6, window, weighting))
    distances = range(1, min(last_clicks, len(query)) + 1)
    total = sum(weight(i) for i in distances)
    scores = sum(weight(i) / total * transitions[query[-i] - 1] for i in distances)
    for item in set(query):
        distance = query[::-1].index(item) + 1
        rate = return_rate(sessions, min(distance, FARTHEST))
        scores[item - 1] += repeat_prior * rate
    return scores


def test_scores_by_hand():
    model = fitted([[1, 2, 1, 2, 3], [3, 1], [2, 2]], num_items=4)
    # Counts 3, 4, 2, 0 give the popularity 2/4, 3/4, 1/4, 0, less 1.
    # 2 followed 1 twice; 1, 2 and 3 followed 2 once each; 1 followed 3 once; nothing followed 4.
    # The last click of one session is not followed by the first of the next.
    scores = model.scores(tf.constant([[1], [2], [3], [4]]))
    expected = [
        [-0.5, 1, -0.75, -1],
        [1 / 3, 1 / 3, 1 / 3, -1],
        [1, -0.25, -0.75, -1],
        [-0.5, -0.25, -0.75, -1],
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores[1, 1] > scores[1, 0] > scores[1, 2]


def test_by_default_the_last_click_alone_counts():
    model = fitted([[1, 2], [2, 3], [3, 1]], num_items=3)
    scores = model.scores(tf.constant([[2, 1, 3], [1, 3, 0], [0, 3, 0]]))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
    assert np.argmax(scores[0]) == 0


@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(st.lists(SESSION, min_size=1))
def test_scores_are_the_shares_of_transitions(sessions):
    expected = shares(pair_oracles.sequential_rules(sessions, 6, 1, "same"))
    scores = fitted(sessions, num_items=6).scores(tf.range(1, 7)[:, None]).numpy()
    for row, weights in zip(scores, expected, strict=True):
        pair_oracles.assert_scores(row, weights, sessions)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
    sessions=st.lists(SESSION, min_size=1, max_size=10),
    query=SESSION,
    window=st.integers(1, 5),
    weighting=st.sampled_from(sorted(pair_oracles.WEIGHTS)),
    last_clicks=st.integers(1, 5),
    repeat_prior=st.sampled_from([0.0, 0.5]),
)
def test_scores_are_those_of_the_definition(sessions, query, **settings):
    scores = fitted(sessions, 6, **settings).scores(tf.constant([[0, *query]])).numpy()[0]
    expected = oracle(sessions, query, **settings)
    np.testing.assert_allclose(np.maximum(scores, 0), expected, atol=1e-5)
    assert np.all(scores[expected == 0] < 0)


@pytest.mark.parametrize("distance", [1, 2, FARTHEST - 1, FARTHEST])
def test_rates_of_returning(distance):
    random = np.random.default_rng(0)
    sessions = [list(random.integers(1, 9, random.integers(1, 60))) for _ in range(60)]
    rates = fitted(sessions, 8).return_rates.numpy()
    assert rates[distance] > 0
    np.testing.assert_allclose(rates[distance], return_rate(sessions, distance), rtol=1e-6)


def test_a_session_comes_back_to_its_items_with_a_repeat_prior():
    # Nothing ever followed item 4, but clicks came back after two.
    model = fitted([[1, 2, 1], [2, 3, 2]], num_items=4, repeat_prior=1.0)
    scores = model.scores(tf.constant([[4, 3]])).numpy()[0]
    assert scores[3] == pytest.approx(1.0)


def test_counting_again_counts_afresh():
    model = fitted([[1, 2, 3]], num_items=3)
    model.fit_counts(Sessions.from_lists([[1, 3]]))
    np.testing.assert_allclose(model.scores(tf.constant([[1]])), [[-1 / 3, -1, 1]], rtol=1e-6)
