import hypothesis
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions
from hln_tf.models.sknn import SKNN


def fitted(sessions, num_items, sample_size=1000, neighbors=500):
    """A model of sessions as lists, dated 0, 1, 2, ..., or of `Sessions`."""
    model = SKNN(num_items, sample_size=sample_size, neighbors=neighbors)
    model.fit_counts(sessions if isinstance(sessions, Sessions) else Sessions.from_lists(sessions))
    return model


def item_sets(sessions, num_items):
    """The items of each session, float64 [sessions, items], sparse."""
    rows = np.repeat(np.arange(len(sessions)), [len(session) for session in sessions])
    columns = np.concatenate([np.asarray(session, np.int64) for session in sessions]) - 1
    shape = (len(sessions), num_items)
    counts = scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape)
    return counts.sign()


def oracle(log, dates, queries, num_items, sample_size, neighbors):
    """Scores by the definition, with a whole row of the log's products for each session."""
    latest_first = sorted(range(len(log)), key=lambda s: (dates[s], s), reverse=True)
    item_rows = item_sets(log, num_items)[latest_first]
    asked = item_sets(queries, num_items)
    shared = (asked @ item_rows.T).toarray()
    sizes = np.sqrt(np.outer(asked.sum(axis=1), item_rows.sum(axis=1)))
    scores = np.zeros((len(queries), num_items))
    for row in range(len(queries)):
        sample = np.flatnonzero(shared[row])[:sample_size]
        cosines = shared[row, sample] / sizes[row, sample]
        # Rounded, since equal cosines may differ in their last bits.
        nearest = np.argsort(-cosines.round(9), kind="stable")[:neighbors]
        scores[row] = item_rows[sample[nearest]].T @ cosines[nearest]
    return scores


def padded(sessions):
    return tf.keras.utils.pad_sequences(sessions, padding="post", dtype="int32")


LOG = [[1, 2, 3], [2, 2, 4], [3, 1], [5, 4, 2, 5]]


def test_scores_by_hand():
    # {1, 2} shares both of its items with the first session, cosine 2 / sqrt(2 * 3), and one with
    # each of the others: 1 / sqrt(2 * 2) with the next two, 1 / sqrt(2 * 3) with the last.
    # {4} shares its only one with the second, 1 / sqrt(1 * 2), and the last, 1 / sqrt(1 * 3).
    first, half, last = 2 / 6**0.5, 1 / 2, 1 / 6**0.5
    expected = [
        [first + half, first + half + last, first + half, half + last, last],
        [0, 2**-0.5 + 3**-0.5, 0, 2**-0.5 + 3**-0.5, 3**-0.5],
    ]
    scores = fitted(LOG, num_items=5).scores(tf.constant([[1, 2, 1], [4, 0, 0]]))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_most_recent_sessions_are_sampled():
    # The first session is the nearest to {1, 2}, but not among the latest two that share an item.
    scores = fitted(LOG, num_items=5, sample_size=2).scores(tf.constant([[1, 2]]))
    half, last = 1 / 2, 1 / 6**0.5
    np.testing.assert_allclose(scores, [[half, last, half, last, last]], atol=1e-5)


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        # All of {1, 2}, {1, 3} and {1, 4} are as near to {1}.
        ([7, 8, 9], [0, 0, 1]),
        ([9, 8, 7], [1, 0, 0]),
        ([5, 9, 7], [0, 1, 0]),
        ([5, 5, 5], [0, 0, 1]),
        ([6, 6, 5], [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("cut", ["sample_size", "neighbors"])
def test_of_equally_near_sessions_the_more_recent_counts(dates, expected, cut):
    log = Sessions.from_lists([[1, 2], [1, 3], [1, 4]])
    log = Sessions(log.items, log.offsets, np.array(dates))
    scores = fitted(log, num_items=4, **{cut: 1}).scores(tf.constant([[1]])).numpy()
    np.testing.assert_array_equal(scores[0, 1:] > 0, np.array(expected) > 0)


def test_items_without_neighbours_score_0():
    model = fitted(LOG, num_items=7)
    scores = model.scores(tf.constant([[6, 7], [0, 0], [7, 5]])).numpy()
    np.testing.assert_array_equal(scores[:2], np.zeros((2, 7)))
    # Item 7 counts in the size of the set: 1 / sqrt(2 * 3).
    np.testing.assert_allclose(scores[2], np.array([0, 1, 0, 1, 1, 0, 0]) / 6**0.5, atol=1e-5)


def test_an_empty_index_scores_0():
    model = SKNN(3)
    np.testing.assert_array_equal(model.scores(tf.constant([[1, 2]])), np.zeros((1, 3)))


SESSION = st.lists(st.integers(1, 8), min_size=1, max_size=6)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
    log=st.lists(st.tuples(SESSION, st.integers(0, 5)), min_size=1, max_size=25),
    queries=st.lists(st.lists(st.integers(1, 8), max_size=6), min_size=1, max_size=5),
    sample_size=st.integers(1, 12),
    neighbors=st.integers(1, 8),
)
def test_scores_are_those_of_the_definition(log, queries, sample_size, neighbors):
    sessions, dates = zip(*log, strict=True)
    columns = Sessions.from_lists(list(sessions))
    columns = Sessions(columns.items, columns.offsets, np.array(dates))
    model = fitted(columns, 8, sample_size, neighbors)
    expected = oracle(sessions, dates, queries, 8, sample_size, neighbors)
    items = np.pad(padded(queries), [(0, 0), (0, 1)])
    np.testing.assert_allclose(model.scores(tf.constant(items)), expected, atol=1e-5)


def test_scores_are_those_of_the_definition_in_a_large_log():
    random = np.random.default_rng(0)

    def zipf(count):
        # Some items are in thousands of sessions, most in a few.
        lengths = random.integers(1, 12, count)
        return [list(np.minimum(random.zipf(1.4, length), 900)) for length in lengths]

    log, queries = zipf(5000), zipf(64)
    dates = random.integers(0, 2000, len(log))
    columns = Sessions.from_lists(log)
    model = fitted(Sessions(columns.items, columns.offsets, dates), 900, 300, 100)
    assert max(np.diff(model.item_splits)) == 300
    scores = model.scores(tf.constant(padded(queries))).numpy()
    expected = oracle(log, dates, queries, 900, 300, 100)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    # The sums of equal similarities are equal, and a session's scores are the same in any batch.
    for row in (0, 1, 2):
        alone = model.scores(tf.constant([queries[row]], tf.int32))
        np.testing.assert_array_equal(alone[0], scores[row])


def test_items_of_equally_near_sessions_tie():
    # Items 5 and 6 have the same similarities, from sessions that alternate in the log.
    random = np.random.default_rng(1)
    log = []
    for _ in range(50):
        common = list(range(1, random.integers(2, 5)))
        log += (
            [[*common, 5], [*common, 6]] if random.random() < 0.5 else [[6, *common], [*common, 5]]
        )
    scores = fitted(log, num_items=6).scores(tf.constant([[1, 2, 3]])).numpy()
    assert scores[0, 4] == scores[0, 5] > 0


def test_counting_again_counts_afresh():
    model = fitted(LOG, num_items=5)
    model.fit_counts(Sessions.from_lists([[1, 3]]))
    expected = np.array([[1, 0, 1, 0, 0]]) / 2**0.5
    np.testing.assert_allclose(model.scores(tf.constant([[1]])), expected, atol=1e-5)
