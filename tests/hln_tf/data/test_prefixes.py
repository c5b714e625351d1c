import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from session_lists import to_sessions

from hln_tf.data.prefixes import Prefixes

SESSIONS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), max_size=6)


def expected_examples(sessions, max_length):
    return [
        (session[max(0, end - max_length) : end], session[end])
        for session in sessions
        for end in range(1, len(session))
    ]


def examples(prefixes, order=None):
    """Each example's prefix and target, from the columns."""
    order = range(len(prefixes)) if order is None else order
    found = []
    for example in order:
        end, length = prefixes.targets[example], prefixes.lengths[example]
        found.append((prefixes.items[end - length : end].tolist(), int(prefixes.items[end])))
    return found


def many_prefixes(sessions=2000, max_length=50):
    random = np.random.default_rng(0)
    lengths = np.minimum(1 + random.geometric(0.2, sessions), 60)
    return Prefixes.from_sessions(
        to_sessions([random.integers(1, 100, length).tolist() for length in lengths]),
        max_length,
    )


@pytest.fixture(scope="module")
def many():
    return many_prefixes()


def test_prefixes_by_hand():
    prefixes = Prefixes.from_sessions(to_sessions([[4, 5, 6], [7], [8, 9]]), max_length=50)
    assert examples(prefixes) == [([4], 5), ([4, 5], 6), ([8], 9)]


def test_longer_prefixes_are_truncated_to_their_last_clicks():
    prefixes = Prefixes.from_sessions(to_sessions([[1, 2, 3, 4, 5]]), max_length=2)
    assert examples(prefixes) == [([1], 2), ([1, 2], 3), ([2, 3], 4), ([3, 4], 5)]


@hypothesis.settings(deadline=None)
@hypothesis.given(SESSIONS, st.integers(1, 9))
def test_prefixes_are_those_of_a_double_loop(lists, max_length):
    sessions = to_sessions(lists)
    prefixes = Prefixes.from_sessions(sessions, max_length)
    assert examples(prefixes) == expected_examples(lists, max_length)
    assert len(prefixes) == sessions.prefixes


@hypothesis.settings(deadline=None)
@hypothesis.given(SESSIONS, st.integers(1, 5), st.integers(0, 3))
def test_shuffled_is_a_permutation(lists, batch_size, epoch):
    prefixes = Prefixes.from_sessions(to_sessions(lists), 50)
    order = prefixes.shuffled(batch_size, seed=1, epoch=epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(prefixes)))


def test_shuffled_depends_on_seed_and_epoch_alone(many):
    first = many.shuffled(64, seed=1, epoch=2)
    np.testing.assert_array_equal(first, many_prefixes().shuffled(64, seed=1, epoch=2))
    for other in (many.shuffled(64, seed=1, epoch=3), many.shuffled(64, seed=2, epoch=2)):
        assert np.mean(first == other) < 0.01


def test_every_epoch_has_other_batches(many):
    def batches(epoch):
        order = many.shuffled(64, seed=1, epoch=epoch)
        return {frozenset(order[start : start + 64]) for start in range(0, len(order), 64)}

    assert not batches(0) & batches(1)


def test_batches_are_of_similar_length_in_no_order_of_length(many):
    order = many.shuffled(64, seed=1, epoch=0)
    lengths = [many.lengths[order[start : start + 64]] for start in range(0, len(order), 64)]
    padded = sum(len(batch) * batch.max() for batch in lengths)
    assert 1 - many.lengths.sum() / padded < 0.1
    # In random batches most would be padding, so the bound is not trivial.
    by_chance = np.random.default_rng(0).permutation(len(many))
    by_chance = many.lengths[by_chance[: len(many) // 64 * 64]].reshape(-1, 64)
    assert 1 - by_chance.sum() / (64 * by_chance.max(axis=1)).sum() > 0.5
    # Any stretch of the epoch is as mixed as the whole.
    means = np.array([batch.mean() for batch in lengths[:-1]])
    for stretch in (means[:32], means[:64], means):
        assert abs(np.corrcoef(stretch, np.arange(len(stretch)))[0, 1]) < 0.4


def test_only_the_last_batch_is_smaller(many):
    batch_size = 64
    assert len(many) % batch_size
    assert many.steps(batch_size) == len(many) // batch_size + 1
    sizes = [len(batch["target"]) for batch in many.batches(many.by_length(), batch_size)]
    assert sizes == [batch_size] * (len(many) // batch_size) + [len(many) % batch_size]


def test_by_length_is_a_permutation_from_short_to_long(many):
    order = many.by_length()
    np.testing.assert_array_equal(np.sort(order), np.arange(len(many)))
    assert np.all(np.diff(many.lengths[order]) >= 0)


def test_batches_by_hand():
    prefixes = Prefixes.from_sessions(to_sessions([[4, 5, 6, 7], [8, 9]]), max_length=2)
    batches = [
        {name: value.tolist() for name, value in batch.items()}
        for batch in prefixes.batches(np.array([3, 2, 0, 1]), batch_size=3)
    ]
    assert batches == [
        {"items": [[8, 0], [5, 6], [4, 0]], "target": [9, 7, 5]},
        {"items": [[4, 5]], "target": [6]},
    ]


@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(SESSIONS, st.integers(1, 5), st.integers(1, 5))
def test_batches_have_the_examples_in_order(lists, batch_size, max_length):
    prefixes = Prefixes.from_sessions(to_sessions(lists), max_length)
    order = prefixes.shuffled(batch_size, seed=1, epoch=0)
    found = []
    for batch in prefixes.batches(order, batch_size):
        items, target = batch["items"], batch["target"]
        assert (items.dtype, target.dtype) == (np.int32, np.int32)
        assert items[:, -1].any()
        found += [(row[row > 0].tolist(), int(t)) for row, t in zip(items, target, strict=True)]
        for row in items:
            # Left-aligned: no click is right of a 0.
            assert not np.any(np.diff((row > 0).astype(int)) > 0)
    assert found == examples(prefixes, order)


@pytest.mark.parametrize("first_step", [0, 1, 30, 10_000])
def test_first_step_resumes_the_epoch(many, first_step):
    order = many.shuffled(256, seed=1, epoch=0)
    skipped = list(many.batches(order, 256))[first_step:]
    resumed = list(many.batches(order, 256, first_step))
    assert len(skipped) == len(resumed) == max(0, many.steps(256) - first_step)
    for one, other in zip(skipped, resumed, strict=True):
        for name in ("items", "target"):
            np.testing.assert_array_equal(one[name], other[name])


def test_no_sessions_give_no_batches():
    prefixes = Prefixes.from_sessions(to_sessions([]), 50)
    assert len(prefixes) == prefixes.steps(64) == 0
    assert list(prefixes.batches(prefixes.by_length(), 64)) == []


@hypothesis.settings(deadline=None)
@hypothesis.given(SESSIONS, st.integers(1, 9))
def test_distinct_examples_are_the_first_of_each_kind(lists, max_length):
    prefixes = Prefixes.from_sessions(to_sessions(lists), max_length)
    distinct, equal = prefixes.distinct()
    kinds = [(tuple(clicks), target) for clicks, target in examples(prefixes)]
    assert distinct.tolist() == sorted(kinds.index(kind) for kind in set(kinds))
    assert [kinds[distinct[place]] for place in equal] == kinds


def test_a_run_pays_from_half_of_its_prefixes_on():
    lists = [[1, 2, 3, 4, 5], [6, 7, 8, 9], [1, 2, 3]]
    prefixes = Prefixes.from_sessions(to_sessions(lists), max_length=4)
    # Of 3 and 4 clicks of the first session, of 3 of the second, of 1 of the third.
    assert prefixes.in_runs(np.array([2, 3, 6, 7])).tolist() == [True, True, False, True]


def test_a_truncated_prefix_is_a_run_of_its_own():
    """Sharing one of three clicks or more with no other, it is better encoded by itself."""
    prefixes = Prefixes.from_sessions(to_sessions([[1, 2, 3, 4, 5, 6]]), max_length=3)
    assert prefixes.in_runs(np.arange(5)).tolist() == [True, True, True, False, False]


@hypothesis.settings(deadline=None)
@hypothesis.given(SESSIONS, st.integers(1, 9), st.integers(1, 20), st.data())
def test_batches_of_runs_hold_the_chosen_examples(lists, max_length, batch_size, data):
    prefixes = Prefixes.from_sessions(to_sessions(lists), max_length)
    is_chosen = data.draw(st.lists(st.booleans(), min_size=len(prefixes), max_size=len(prefixes)))
    chosen = np.flatnonzero(is_chosen)
    all_examples, found = examples(prefixes), {}
    for places, batch in prefixes.run_batches(chosen, batch_size):
        items, target = batch["items"], batch["target"]
        assert items.shape == target.shape
        assert items.size <= batch_size or len(items) == 1
        assert np.all(items[:, -1:].max(initial=0) > 0)
        for place, (row, column) in zip(places, np.argwhere(target), strict=True):
            found[place] = (items[row, : column + 1].tolist(), int(target[row, column]))
    assert found == {place: all_examples[place] for place in chosen}
