"""Each step on columns compared with the same step on lists."""

import numpy as np
import pyarrow as pa
from column_lists import columns, listed, logs
from hypothesis import given
from hypothesis import strategies as st

from hln_tf.data.protocol import collapse_repeats, select_latest_examples, split_at_timeouts
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import map_items, select_lengths, sort_by_date
from hln_tf.data.vocabulary import assign_item_indices, first_appearances, frequent_items


@given(logs(min_length=0), st.integers(0, 3), st.integers(0, 5))
def test_lengths(rows, shortest, longest):
    selected = select_lengths(columns(rows), shortest, longest)
    assert listed(selected) == [
        row for row in rows if shortest <= len(row[2]) and (not longest or len(row[2]) <= longest)
    ]


@given(logs(), st.randoms())
def test_sessions_of_equal_dates_are_in_order_of_first_appearance(rows, random):
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert listed(sort_by_date(columns(shuffled))) == sorted(rows)


@given(logs(), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_items_without_an_index_are_dropped(rows, indices):
    found = map_items(columns(rows), np.array(indices, np.int32), missing=0)
    assert listed(found) == [
        (d, o, [indices[i] for i in items if indices[i]]) for d, o, items in rows
    ]


@given(logs(min_length=0))
def test_repeats_collapse(rows):
    expected = [
        (d, o, [item for n, item in enumerate(items) if not n or items[n - 1] != item])
        for d, o, items in rows
    ]
    assert listed(collapse_repeats(columns(rows))) == expected


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
    found = split_at_timeouts(columns(rows, np.array(times, np.int64) * 1_000_000), 10)
    assert listed(found) == expected


@given(logs(), st.integers(0, 80))
def test_latest_examples(rows, count):
    """The examples of each session are in order from long to short; the last are retained."""
    examples = [(n, length) for n, row in enumerate(rows) for length in range(len(row[2]), 1, -1)]
    longest = {}
    for n, length in examples[max(0, len(examples) - count) :]:
        longest[n] = max(length, longest.get(n, 0))
    expected = [(rows[n][0], rows[n][1], rows[n][2][:length]) for n, length in longest.items()]
    latest = select_latest_examples(columns(rows), count)
    assert listed(latest) == expected
    assert latest.clicks - len(latest) == min(count, len(examples))


@given(logs(min_size=1), st.integers(1, 3))
def test_item_indices_are_in_order_of_first_appearance(rows, parts):
    expected = {}
    for _, _, items in sorted(rows):
        for item in items:
            expected.setdefault(item, len(expected) + 1)
    seen = [first_appearances(columns(rows[part::parts])) for part in range(parts)]
    indices = assign_item_indices(seen, 6)
    assert indices.tolist() == [expected.get(item, 0) for item in range(6)]


def test_of_equally_frequent_items_the_smaller_ids_are_retained():
    counts = [
        pa.table({"item": ["é", "b", "10"], "count": [2, 1, 3]}),
        pa.table({"item": ["b", "a", "9", "z"], "count": [1, 2, 2, 1]}),
    ]
    most_frequent = ProtocolSettings(min_item_count=1, top_items=3)
    assert frequent_items(counts, most_frequent).to_pylist() == ["10", "9", "a"]
    all_of_two = ProtocolSettings(min_item_count=2)
    assert frequent_items(counts, all_of_two).to_pylist() == ["10", "9", "a", "b", "é"]
    assert frequent_items([], all_of_two).to_pylist() == []
