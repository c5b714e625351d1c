"""Combinations of columns: the same, however an engine distributes the parts."""

import collections
import pickle

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from beam_preprocess.combiners import (
    AddArrays,
    AddItemCounts,
    AddNamedCounts,
    AddRowCounts,
    EarliestAppearances,
    FindSpan,
)
from beam_preprocess.scan import MalformedRow, Problem, RowCounts
from beam_preprocess.stats import AddShards
from beam_preprocess.write import Shard
from hln_tf.data.parts import PartShape
from hln_tf.data.vocabulary import Appearances

# Of each value, the worker that has it.
workers = st.lists(st.integers(0, 3), min_size=40, max_size=40)


def combine(fn, values, owners):
    """Combine values as an engine does: on each worker, then all workers' in turn."""
    accumulators = []
    for worker in range(4):
        accumulator = fn.create_accumulator()
        for value, owner in zip(values, owners, strict=False):
            if owner == worker:
                accumulator = fn.add_input(accumulator, value)
        accumulators.append(pickle.loads(pickle.dumps(fn.compact(accumulator))))
    first = fn.merge_accumulators(accumulators[:2])
    return fn.extract_output(fn.merge_accumulators([first, *accumulators[2:]]))


@given(st.lists(st.lists(st.sampled_from("abcdé"), max_size=6), max_size=40), workers)
def test_item_counts(parts, owners):
    tables = []
    for items in parts:
        counts = collections.Counter(items)
        item, count = list(counts), list(counts.values())
        tables.append(
            pa.table({"item": pa.array(item, pa.string()), "count": pa.array(count, pa.int64())})
        )
    total = combine(AddItemCounts(), tables, owners)
    found = dict(zip(total["item"].to_pylist(), total["count"].to_pylist(), strict=True))
    assert found == collections.Counter(item for items in parts for item in items)
    assert total.num_rows == len(found)


clicks = st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(st.lists(clicks, max_size=5, unique_by=lambda c: c[0]), max_size=40), workers)
def test_earliest_appearances(parts, owners):
    values = [
        Appearances(*np.array(part, np.int64).reshape(-1, 4).T.astype(np.int64)) for part in parts
    ]
    found = combine(EarliestAppearances(), values, owners)
    first = {}
    for item, *when in sorted((click for part in parts for click in part), key=lambda c: c[1:]):
        first.setdefault(item, tuple(when))
    moments = zip(found.date.tolist(), found.order.tolist(), found.click.tolist(), strict=True)
    assert dict(zip(found.item.tolist(), moments, strict=True)) == first
    assert found.item.dtype == np.int32


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1), workers)
def test_span_arrays_and_named_counts(pairs, owners):
    pairs = [tuple(sorted(pair)) for pair in pairs[:40]]
    low, high = zip(*pairs, strict=True)
    assert combine(FindSpan(), pairs, owners) == (min(low), max(high))
    arrays = [np.array(pair) for pair in pairs]
    assert combine(AddArrays(), arrays, owners).tolist() == [sum(low), sum(high)]
    named = [{"read": first, "left": last} for first, last in pairs]
    total = combine(AddNamedCounts(), named, owners)
    assert list(total.items()) == [("read", sum(low)), ("left", sum(high))]
    assert combine(AddNamedCounts(), [], []) == {}


def test_row_counts():
    problem = Problem(1, 5, "second"), Problem(0, 9, "first")
    blocks = [
        RowCounts(rows=3, malformed=1, clicks=2, days={7: 2}, problem=problem[0]),
        *(
            RowCounts(malformed=1, first_malformed=(MalformedRow(0, 10 * n, n, f"row {n}"),))
            for n in range(30)
        ),
        RowCounts(rows=4, clicks=4, days={7: 1, 8: 3}, problem=problem[1]),
    ]
    for owners in ([0, 1, 2, 3] * 8, [3, 0] * 16):
        total = combine(AddRowCounts(), blocks[::-1], owners)
        assert (total.rows, total.malformed, total.clicks) == (7, 31, 6)
        assert dict(total.days) == {7: 3, 8: 3}
        assert [row.text for row in total.first_malformed] == [f"row {n}" for n in range(5)]
        assert total.problem.message == "first"


def test_shards():
    shards = [
        Shard(
            "test",
            f"test/{n}",
            PartShape(1, 2, 2, 60 * n, 60 * n),
            np.array([n, 9], np.int32),
            np.array([1, 2]),
        )
        for n in range(3)
    ]
    total = combine(AddShards(), [*shards[::-1], "disk full", "a disk"], [0, 1, 2, 3, 0])
    test = total.splits["test"]
    assert test.files == ("test/0", "test/1", "test/2")
    dates = {"first": "1970-01-01 00:00", "last": "1970-01-01 00:02"}
    assert test.description() == {"sessions": 3, "clicks": 6, "items": 3, "prefixes": 3, **dates}
    assert test.targets.tolist() == [[0, 1, 2, 9], [1, 1, 1, 6]]
    assert total.splits["train"].description()["sessions"] == 0
    assert total.problems == ("a disk", "disk full")
