"""Each step on columns against the same step on lists."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_preprocess import Settings, sessions
from beam_preprocess import splits as order
from beam_preprocess.sessions import Sessions
from hln_tf.common.errors import HlnError, UsageError


def columns(rows, times=None):
    """Sessions from (date, order, items)."""
    lengths = [len(items) for _, _, items in rows]
    return Sessions(
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
    kept = sessions.select_lengths(columns(rows), shortest, longest)
    assert listed(kept) == [
        row for row in rows if shortest <= len(row[2]) and (not longest or len(row[2]) <= longest)
    ]


@given(logs(), st.randoms())
def test_by_date_is_stable_in_first_appearance(rows, random):
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert listed(sessions.by_date(columns(shuffled))) == sorted(rows)


@given(logs(), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_renumber_drops_unknown_items(rows, numbers):
    found = sessions.renumber(columns(rows), np.array(numbers, np.int32), nothing=0)
    assert listed(found) == [
        (d, o, [numbers[i] for i in items if numbers[i]]) for d, o, items in rows
    ]


@given(logs(min_length=1))
def test_repeats_collapse(rows):
    expected = [
        (d, o, [item for n, item in enumerate(items) if not n or items[n - 1] != item])
        for d, o, items in rows
    ]
    assert listed(sessions.collapse_repeats(columns(rows))) == expected


@given(logs(min_length=0), st.data())
def test_gaps_cut_only_where_longer(rows, data):
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
    found = sessions.split_at_gaps(columns(rows, np.array(times, np.int64) * 1_000_000), 10)
    assert listed(found) == expected


@given(logs(), st.integers(0, 80))
def test_latest_samples(rows, count):
    """The samples of each session stand longest first; the last ones are kept."""
    samples = [(n, length) for n, row in enumerate(rows) for length in range(len(row[2]), 1, -1)]
    longest = {}
    for place, length in samples[max(0, len(samples) - count) :]:
        longest[place] = max(length, longest.get(place, 0))
    expected = [(rows[n][0], rows[n][1], rows[n][2][:length]) for n, length in longest.items()]
    kept = order.keep_latest(columns(rows), count)
    assert listed(kept) == expected
    assert kept.prefixes == min(count, len(samples))


@given(
    logs(min_size=1), st.fractions(0, 1), st.fractions(0, "9/10"), st.integers(1, 4), st.randoms()
)
def test_cuts_do_not_depend_on_ranges_and_parts(rows, fraction, validation, shards, random):
    span = order.Span(0, 30, 31, 31)
    halves = [rows[::2], rows[1::2]]
    random.shuffle(halves)
    parts = [columns(half) for half in halves]
    ranges = order.plan_ranges(sum(order.histogram(part, span) for part in parts), fraction)
    kept = {}
    for part in parts:
        for number, piece in order.into_ranges(part, span, ranges):
            kept.setdefault(number, []).append(piece)
    kept = {
        number: order.keep_latest(
            sessions.by_date(sessions.concatenated(pieces)), int(ranges.quota[number])
        )
        for number, pieces in kept.items()
    }
    everything = columns(sorted(rows))
    expected = listed(order.keep_latest(everything, int(everything.prefixes * fraction)))
    assert [row for number in sorted(kept) for row in listed(kept[number])] == expected
    counts = [(("train", number), len(part)) for number, part in kept.items()]
    held_out = int(len(expected) * validation)
    if held_out == len(expected):
        with pytest.raises(HlnError, match="train part is empty"):
            order.rank([*counts, (("test", 0), 1)], validation, shards)
        return
    ranks = order.rank([*counts, (("test", 0), 1)], validation, shards)
    pieces = [
        (split, shard, first, listed(piece))
        for number, part in kept.items()
        for split, shard, first, piece in order.into_shards("train", number, part, ranks)
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
def test_items_are_numbered_in_order_of_first_appearance(rows, parts):
    expected = {}
    for _, _, items in sorted(rows):
        for item in items:
            expected.setdefault(item, len(expected) + 1)
    seen = [order.first_appearances(columns(rows[part::parts])) for part in range(parts)]
    numbers = order.number_items(seen, 6)
    assert numbers.tolist() == [expected.get(item, 0) for item in range(6)]


def test_frequent_items_ties_go_to_the_smaller_id():
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


def test_equal_settings_are_the_same_however_written():
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
