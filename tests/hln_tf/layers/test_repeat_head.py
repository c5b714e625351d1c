import hypothesis
import numpy as np
import pytest
import reference
import repeat_oracle
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.layers.repeat_head import (
    PLACES,
    RepeatHead,
    Repeats,
    log_probabilities,
    mixture_statistics,
)

ITEMS, D = 6, 4
# Repeats, padding anywhere, no click, and all items of the catalogue.
SESSIONS = [[2, 2, 5], [0, 3, 0], [], [1, 2, 3, 4, 5, 6, 1], [6, 0, 0, 1, 6]]


def padded(sessions):
    width = max(map(len, sessions))
    return np.array([[*session, *[0] * (width - len(session))] for session in sessions], np.int32)


def random_head(seed=0, scale=0.7):
    """A head with random values of all weights, and these by name."""
    head, random = RepeatHead(ITEMS), np.random.default_rng(seed)
    head(tf.zeros([1, 1, D]), query=tf.zeros([1, D]), items=tf.zeros([1, 1], tf.int32))
    for weight in head.weights:
        weight.assign(random.normal(0.0, scale, weight.shape))
    return head, {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in head.weights}


def expected_probabilities(weights, table, query, scores, sessions):
    result = []
    for q, row, session in zip(query, scores, sessions, strict=True):
        clicks = [item for item in session if item]
        x = table[np.array(clicks, int) - 1].reshape(-1, D)
        found = repeat_oracle.head(weights, x, q) if clicks else ([], 0.0)
        result.append(repeat_oracle.mixture(row, clicks, *found))
    return np.stack(result)


def inputs(sessions, seed=1, spread=1.0):
    random = np.random.default_rng(seed)
    table = random.normal(size=(ITEMS, D)).astype("f")
    query = random.normal(size=(len(sessions), D)).astype("f")
    return table, query, (spread * query @ table.T).astype("f")


def repeats_of(head, table, query, sessions):
    items = padded(sessions)
    x = np.where(items[..., None] > 0, table[np.maximum(items - 1, 0)], 0)
    return head(tf.constant(x), query=tf.constant(query), items=tf.constant(items))


def test_probabilities_are_those_of_the_definition_and_sum_to_1():
    head, weights = random_head()
    table, query, scores = inputs(SESSIONS)
    found = log_probabilities(tf.constant(scores), repeats_of(head, table, query, SESSIONS))
    expected = expected_probabilities(weights, table, query, scores, SESSIONS)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


def test_by_hand():
    # Items 1 and 3 are in the session, 3 twice; of the others 2 and 4 have the odds 1 : 3.
    items = tf.constant([[3, 1, 3]])
    log_clicks = tf.math.log(0.6 * tf.constant([[0.5, 0.2, 0.3]]))
    repeats = Repeats(items, log_clicks, tf.math.log([0.4]))
    scores = tf.constant([[9.0, 0.0, 7.0, np.log(3.0)]])
    found = np.exp(log_probabilities(scores, repeats))
    np.testing.assert_allclose(found, [[0.12, 0.1, 0.48, 0.3]], rtol=1e-6)
    np.testing.assert_array_equal(repeats.is_first(), [[True, True, False]])


@pytest.mark.parametrize("spread", [30.0, 1e4])
def test_scores_far_above_those_of_all_others_lose_nothing(spread):
    """Z without the session's items is summed without them, not by a difference."""
    items = tf.constant([[2, 4]])
    repeats = Repeats(items, tf.math.log([[0.25, 0.25]]), tf.math.log([0.5]))
    scores = tf.constant([[0.0, spread, 0.0, spread]])
    found = np.exp(log_probabilities(scores, repeats))
    np.testing.assert_allclose(found, np.full((1, 4), 0.25), rtol=1e-6)


def test_the_place_of_a_click_counts_from_the_end():
    head, weights = random_head()
    session = [1 + t % ITEMS for t in range(PLACES + 4)]
    table, query, _ = inputs([session])
    repeats = repeats_of(head, table, query, [session])
    attention, gate = repeat_oracle.head(weights, table[np.array(session) - 1], query[0])
    found = np.exp(repeats.log_clicks[0])
    np.testing.assert_allclose(found, attention, rtol=1e-4)  # all items are in it: g is 1
    assert gate < 1


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.data())
def test_ranks_in_parts_are_those_of_the_scores(data):
    session = st.lists(st.integers(0, ITEMS), min_size=0, max_size=4)
    sessions = data.draw(st.lists(session, min_size=1, max_size=40))
    sessions[0] = [*sessions[0], 1]
    head, _ = random_head(data.draw(st.integers(0, 3)))
    table, query, _ = inputs(sessions, data.draw(st.integers(0, 3)))
    target = data.draw(
        st.lists(st.integers(0, ITEMS - 1), min_size=len(sessions), max_size=len(sessions))
    )
    repeats = repeats_of(head, table, query, sessions)
    scores = log_probabilities(tf.matmul(query, table, transpose_b=True), repeats).numpy()
    # So little memory that 16 sessions are scored at a time.
    found = mixture_statistics(tf.constant(query), table, tf.constant(target), repeats, 0)
    of_target = scores[range(len(target)), target]
    np.testing.assert_allclose(found.target_scores, of_target, rtol=1e-5)
    np.testing.assert_allclose(found.mean_scores, scores.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found.log_partition, np.zeros(len(target)))
    margin = np.abs(scores - of_target[:, None])
    if np.all((margin == 0) | (margin > 1e-4)):
        np.testing.assert_array_equal(found.ranks, reference.ranks(scores, target))


def test_ties_count_against_the_target():
    repeats = Repeats(tf.constant([[1]]), tf.math.log([[0.25]]), tf.math.log([0.75]))
    query, table = tf.zeros([1, 2]), tf.ones([4, 2])
    ranks = [int(mixture_statistics(query, table, [t], repeats).ranks[0]) for t in range(4)]
    assert ranks == [4, 4, 4, 4]


def test_no_sessions_have_no_ranks():
    repeats = Repeats(tf.zeros([0, 2], tf.int32), tf.zeros([0, 2]), tf.zeros([0]))
    target = tf.zeros([0], tf.int32)
    found = mixture_statistics(tf.zeros([0, 2]), tf.ones([4, 2]), target, repeats)
    assert found.ranks.shape == (0,)


def test_the_layer_is_serialised_with_its_catalogue():
    head, _ = random_head()
    assert RepeatHead.from_config(head.get_config()).num_items == ITEMS


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (([2, 3], [2, 4], [2, 3]), r"`x` must have shape \[batch, time, d\]"),
        (([2, 3, 4], [2, 5], [2, 3]), r"`query` must have shape \[2, 4\], received \(2, 5\)"),
        (([2, 3, 4], [2, 4], [2, 2]), r"`items` must have shape \[2, 3\], received \(2, 2\)"),
    ],
)
def test_other_shapes_are_refused(shapes, message):
    x, query, items = shapes
    with pytest.raises(ValueError, match=message):
        RepeatHead(9)(tf.zeros(x), query=tf.zeros(query), items=tf.zeros(items, tf.int32))
