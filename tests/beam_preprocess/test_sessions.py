"""Each step on columns compared with the same step on lists."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_preprocess import Settings, sessions, splits
from beam_preprocess.sessions import SessionColumns
from hln_tf.common.errors import HlnError, UsageError


def columns(rows, times=None):
    """Make columns of sessions (date, order, items)."""
    lengths = [len(items) for _, _, items in rows]
    return SessionColumns(
        items=np.array([item for row in rows for item in row[2]], np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        dates=np.array([date for date, _, _ in rows], np.int64),
        order=np.array([place for _, place, _ in rows], np.int64),
        times=times,
    )


def listed(found):
    bounds = zip(found.offsets, found.offsets[1:], strict=False)
    items = [found.items[start:end].tolist() for start, end in bounds]
    return list(zip(found.dates.tolist(), found.order.tolist(), items, strict=True))


def logs(min_length=2, min_size=0):
    session = st.tuples(
        st.integers(0, 30), st.lists(st.integers(0, 5), min_size=min_length, max_size=6)
    )
    return st.lists(session, min_size=min_size, max_size=25).map(
        lambda rows: [(date, place, items) for place, (date, items) in enumerate(rows)]
    )


@given(logs(min_length=0), st.integers(0, 3), st.integers(0, 5))
def test_lengths(rows, shortest, longest):
    selected = sessions.select_lengths(columns(rows), shortest, longest)
    assert listed(selected) == [
        row for row in rows if shortest <= len(row[2]) and (not longest or len(row[2]) <= longest)
    ]


@given(logs(), st.randoms())
def test_sessions_of_equal_dates_are_in_order_of_first_appearance(rows, random):
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert listed(sessions.sort_by_date(columns(shuffled))) == sorted(rows)


@given(logs(), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_items_without_an_index_are_dropped(rows, indices):
    found = sessions.map_items(columns(rows), np.array(indices, np.int32), missing=0)
    assert listed(found) == [
        (d, o, [indices[i] for i in items if indices[i]]) for d, o, items in rows
    ]


@given(logs(min_length=1))
def test_repeats_collapse(rows):
    expected = [
        (d, o, [item for n, item in enumerate(items) if not n or items[n - 1] != item])
        for d, o, items in rows
    ]
    assert listed(sessions.collapse_repeats(columns(rows))) == expected


@given(logs(min_length=0), st.data())
def test_sessions_end_only_after_more_than_the_session_timeout(rows, data):
    times, expected = [], []
    for _, place, items in rows:
        now, current = data.draw(st.integers(0, 50)), []
        for item in items:
            step = data.draw(st.sampled_from([0, 9, 10, 11, 30]))
            now += step
            if current and step > 10:
                expected.append((times[-1], place, current))
                current = []
            current.append(item)
            times.append(now)
        if current:
            expected.append((times[-1], place, current))
    found = sessions.split_at_timeouts(columns(rows, np.array(times, np.int64) * 1_000_000), 10)
    assert listed(found) == expected


@given(logs(), st.integers(0, 80))
def test_latest_examples(rows, count):
    """The examples of each session are in order from long to short; the last are retained."""
    examples = [(n, length) for n, row in enumerate(rows) for length in range(len(row[2]), 1, -1)]
    longest = {}
    for n, length in examples[max(0, len(examples) - count) :]:
        longest[n] = max(length, longest.get(n, 0))
    expected = [(rows[n][0], rows[n][1], rows[n][2][:length]) for n, length in longest.items()]
    latest = splits.select_latest_examples(columns(rows), count)
    assert listed(latest) == expected
    assert latest.clicks - len(latest) == min(count, len(examples))


@given(
    logs(min_size=1), st.fractions(0, 1), st.fractions(0, "9/10"), st.integers(1, 4), st.randoms()
)
def test_cuts_do_not_depend_on_ranges_and_parts(rows, fraction, validation, shards, random):
    span = splits.Span(0, 30, 31, 31)
    halves = [rows[::2], rows[1::2]]
    random.shuffle(halves)
    parts = [columns(half) for half in halves]
    ranges = splits.plan_ranges(sum(splits.histogram(part, span) for part in parts), fraction)
    by_range = {}
    for part in parts:
        for index, piece in splits.split_into_ranges(part, span, ranges):
            by_range.setdefault(index, []).append(piece)
    by_range = {
        index: splits.select_latest_examples(
            sessions.sort_by_date(sessions.concatenate(pieces)), int(ranges.quota[index])
        )
        for index, pieces in by_range.items()
    }
    whole = columns(sorted(rows))
    examples = int((whole.clicks - len(whole)) * fraction)
    expected = listed(splits.select_latest_examples(whole, examples))
    assert [row for index in sorted(by_range) for row in listed(by_range[index])] == expected
    counts = [(("train", index), len(part)) for index, part in by_range.items()]
    held_out = int(len(expected) * validation)
    if held_out == len(expected):
        with pytest.raises(HlnError, match="train part is empty"):
            splits.rank([*counts, (("test", 0), 1)], validation, shards)
        return
    ranks = splits.rank([*counts, (("test", 0), 1)], validation, shards)
    pieces = [
        (split, shard, first, listed(piece))
        for index, part in by_range.items()
        for split, shard, first, piece in splits.split_into_shards("train", index, part, ranks)
    ]
    for split, wanted in (
        ("train", expected[: len(expected) - held_out]),
        ("validation", expected[len(expected) - held_out :]),
    ):
        written = sorted(piece[1:] for piece in pieces if piece[0] == split)
        assert [row for _, _, rows_ in written for row in rows_] == wanted
        sizes = np.bincount([s for s, _, part in written for _ in part], minlength=1)
        assert len(sizes) == max(1, ranks.shards[split])
        assert sizes.max() - sizes.min() <= 1


@given(logs(min_size=1), st.integers(1, 3))
def test_item_indices_are_in_order_of_first_appearance(rows, parts):
    expected = {}
    for _, _, items in sorted(rows):
        for item in items:
            expected.setdefault(item, len(expected) + 1)
    seen = [splits.first_appearances(columns(rows[part::parts])) for part in range(parts)]
    indices = splits.assign_item_indices(seen, 6)
    assert indices.tolist() == [expected.get(item, 0) for item in range(6)]


def test_of_equally_frequent_items_the_smaller_ids_are_retained():
    counts = [
        pa.table({"item": ["é", "b", "10"], "count": [2, 1, 3]}),
        pa.table({"item": ["b", "a", "9", "z"], "count": [1, 2, 2, 1]}),
    ]
    assert sessions.frequent_items(counts, 1, 3).to_pylist() == ["10", "9", "a"]
    assert sessions.frequent_items(counts, 2, 0).to_pylist() == ["10", "9", "a", "b", "é"]
    assert sessions.frequent_items([], 1, 0).to_pylist() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_fraction": "0"},
        {"train_fraction": "5/4"},
        {"train_fraction": "half"},
        {"train_fraction": "1/0"},
        {"validation_fraction": "1"},
        {"separator": ""},
        {"separator": "\n"},
        {"window_end": "2009-02-30"},
        {"max_session_length": 1},
        {"min_session_length": 1},
        {"dataset": "other"},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))} "):
        Settings(**wrong)


def test_settings_are_equal_in_any_notation():
    assert Settings(train_fraction="0.5") == Settings(train_fraction="1/2")
    assert Settings(separator="\\t").separator == "\t"
    assert Fraction(Settings(train_fraction="1/64").train_fraction) == Fraction(1, 64)


def test_window_ends_with_its_last_day():
    day = 86_400
    april = 39 * 365 * day + 10 * day + 90 * day  # 2009-04-01
    window = Settings(window_months=1, window_end="2009-04-30").window()
    assert window == (april, april + 30 * day)
    window = Settings(window_months=2, window_end="2009-04-29").window()
    assert window == (april - 31 * day - 1 * day, april + 29 * day)  # from 28 February
