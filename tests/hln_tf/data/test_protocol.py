"""`prepare_sessions` compared with the protocols on lists."""

import dataclasses
import string
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol import (
    listed,
    reference_custom,
    reference_diginetica,
    reference_lastfm,
    reference_yoochoose,
    to_clicks,
)

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.protocol_settings import PROTOCOLS, ProtocolSettings

SECOND = 1_000_000
DAY = 86_400
FRACTIONS = st.sampled_from(["1/64", "1/5", "1/3", "1/2", "3/4", "1"])
SPLITS = st.sampled_from(
    [
        {},
        {"test_from": "2014-04-08"},
        {"test_from": "2014-04-08", "test_days": 1},
        {"test_fraction": "1/5"},
        {"test_fraction": "1/2"},
    ]
)
VALIDATION = st.sampled_from(["0", "0.1", "1/2"])
ITEMS = st.sampled_from(["b", "é", "10", "9", "B / c", " a"])


def logs(keys, steps, step):
    """Make a strategy of logs (session or user, seconds, item): several at once, many ties."""
    row = st.tuples(
        st.sampled_from(string.ascii_letters[:keys]),
        st.integers(0, steps).map(lambda number: number * step),
        ITEMS,
    )
    # Most of Hypothesis' own lists are short, so that a part is empty.
    many = st.lists(row, min_size=60, max_size=90)
    return st.one_of(st.lists(row, max_size=12), many, many)


def compare(clicks, config, expected):
    if expected is None:
        with pytest.raises(HlnError, match=r"no session of the input|part is empty"):
            prepare_sessions(clicks, config)
        return
    prepared = prepare_sessions(clicks, config)
    assert listed(prepared) == expected
    for name in ("train", "validation", "test"):
        part = getattr(prepared, name)
        kinds = (part.items.dtype, part.offsets.dtype, part.dates.dtype)
        assert kinds == (np.int32, np.int64, np.int64)
    left = list(prepared.clicks_left.values())
    assert left[0] == clicks.num_rows
    assert left == sorted(left, reverse=True)


def changed(name, **strategies):
    """Make a strategy of the settings of a protocol, some of them changed."""

    def change(split=None, **values):
        return dataclasses.replace(PROTOCOLS[name], **values, **(split or {}))

    return st.builds(change, **strategies)


@settings(deadline=None, max_examples=200)
@given(
    rows=logs(keys=12, steps=40, step=3600),
    config=changed(
        "yoochoose64",
        train_fraction=FRACTIONS,
        validation_fraction=VALIDATION,
        min_item_count=st.integers(1, 4),
        test_seconds=st.sampled_from([3600, 36_000, DAY]),
    ),
)
def test_yoochoose(rows, config):
    clicks = to_clicks([(key, time * SECOND + 999, item) for key, time, item in rows], "session")
    compare(clicks, config, reference_yoochoose(rows, config))


@settings(deadline=None, max_examples=60)
@given(
    rows=logs(keys=12, steps=12, step=DAY),
    ranks=st.lists(st.integers(-2, 5), min_size=90, max_size=90),
    config=changed(
        "diginetica",
        train_fraction=FRACTIONS,
        validation_fraction=VALIDATION,
        min_item_count=st.integers(1, 4),
    ),
)
def test_diginetica(rows, ranks, config):
    """Whole days: the day seven days before the last one is neither train nor test."""
    ranked = [(*row[:2], rank, row[2]) for row, rank in zip(rows, ranks, strict=False)]
    clicks = to_clicks([(key, time * SECOND, item) for key, time, item in rows], "session")
    clicks = clicks.append_column("rank", pa.array(ranks[: len(rows)], pa.int64()))
    compare(clicks, config, reference_diginetica(ranked, config))


@settings(deadline=None, max_examples=200)
@given(
    rows=logs(keys=4, steps=30, step=14_400),
    outside=st.lists(st.sampled_from([-1, 30 * DAY, -40 * DAY]), max_size=3),
    config=changed(
        "lastfm",
        train_fraction=FRACTIONS,
        validation_fraction=VALIDATION,
        top_items=st.integers(1, 6),
        max_session_length=st.sampled_from([3, 50]),
        test_seconds=st.just(2 * DAY),
        window_months=st.just(1),
        window_end=st.just("2014-05-06"),
    ),
)
def test_lastfm(rows, outside, config):
    plays = [*rows, *(("a", time, "b") for time in outside)]
    clicks = to_clicks([(user, time * SECOND, item) for user, time, item in plays], "user")
    compare(clicks, config, reference_lastfm(rows, config))


@settings(deadline=None, max_examples=400)
@given(
    rows=logs(keys=8, steps=60, step=1800),
    microseconds=st.lists(st.sampled_from([0, 0, 1, 500_000, 999_999]), min_size=90, max_size=90),
    config=changed(
        "custom",
        train_fraction=FRACTIONS,
        validation_fraction=VALIDATION,
        order=st.sampled_from(["file", "time"]),
        min_item_count=st.integers(1, 5),
        top_items=st.sampled_from([0, 0, 3, 5]),
        min_session_length=st.sampled_from([2, 2, 3]),
        max_session_length=st.sampled_from([0, 0, 8]),
        collapse_repeats=st.booleans(),
        session_timeout=st.sampled_from([0, 1800, 14_400]),
        test_seconds=st.sampled_from([1800, 36_000]),
        split=SPLITS,
        validation_days=st.sampled_from([0, 0, 1]),
        train_days=st.sampled_from([0, 0, 1]),
        unseen_targets=st.sampled_from(["drop", "miss"]),
    ),
)
def test_custom(rows, microseconds, config):
    times = zip(rows, microseconds, strict=False)
    rows = [(key, time * SECOND + more, item) for (key, time, item), more in times]
    key = "user" if config.session_timeout else "session"
    compare(to_clicks(rows, key), config, reference_custom(rows, config))


@settings(deadline=None, max_examples=100)
@given(
    rows=logs(keys=8, steps=60, step=1800),
    config=changed(
        "custom",
        train_fraction=FRACTIONS,
        min_item_count=st.integers(1, 3),
        max_session_length=st.sampled_from([0, 8]),
        session_timeout=st.sampled_from([0, 14_400]),
        split=SPLITS,
        unseen_targets=st.sampled_from(["drop", "miss"]),
    ),
)
def test_extra_values_are_those_of_their_clicks(rows, config):
    """The column has the number of a click's row, which leads to its session, time and item."""
    key = "user" if config.session_timeout else "session"
    clicks = to_clicks([(key, time * SECOND, item) for key, time, item in rows], key)
    numbers = pa.array(map(str, range(len(rows))), pa.large_string())
    try:
        prepared = prepare_sessions(clicks.append_column("log_row", numbers), config)
    except HlnError:
        return
    for name in ("train", "validation", "test"):
        part = getattr(prepared, name)
        found = [rows[int(row)] for row in part.extra["log_row"].to_pylist()]
        for start, end in zip(part.offsets, part.offsets[1:], strict=False):
            of_session = found[start:end]
            assert len({key for key, _, _ in of_session}) == 1
            assert of_session == sorted(of_session, key=lambda row: row[1])
        for item, (_, _, item_id) in zip(part.items.tolist(), found, strict=True):
            unknown = item_id not in prepared.item_ids
            assert unknown if item == 0 else prepared.item_ids[item - 1] == item_id


def test_of_repeats_that_collapse_the_value_of_the_first_is_extra():
    rows = [("a", 0, "1"), ("a", 1, "1"), ("a", 2, "2"), ("b", DAY, "1"), ("b", DAY + 1, "2")]
    rows += [("c", 2 * DAY, "1"), ("c", 2 * DAY + 1, "2")]
    clicks = to_clicks([(key, time * SECOND, item) for key, time, item in rows], "session")
    clicks = clicks.append_column("log_d", pa.array(list("uv.wxyz"), pa.large_string()))
    config = ProtocolSettings(
        collapse_repeats=True, min_item_count=1, validation_fraction="1/2", test_seconds=36_000
    )
    prepared = prepare_sessions(clicks, config)
    assert prepared.train.extra["log_d"].to_pylist() == ["u", "."]
    assert prepared.validation.extra["log_d"].to_pylist() == ["w", "x"]
    joined = prepared.train + prepared.validation
    assert joined.extra["log_d"].to_pylist() == ["u", ".", "w", "x"]
    assert joined.latest(1).extra["log_d"].to_pylist() == ["w", "x"]


def test_results_computed_by_hand():
    """A click outside of sessions of two, a rare item, a session on the boundary, ties."""
    rows = [
        ("b", 5, "2"),
        ("a", 1, "1"),
        ("a", 2, "2"),
        ("b", 3, "1"),
        ("a", 3, "3"),
        ("c", 9, "9"),
        ("d", DAY + 10, "3"),
        ("d", DAY + 20, "1"),
        ("d", DAY + 30, "8"),
        ("e", 30, "1"),
        ("e", 30, "2"),
    ]
    clicks = to_clicks([(key, time * SECOND, item) for key, time, item in rows], "session")
    config = ProtocolSettings(min_item_count=1, validation_fraction="1/2")
    prepared = prepare_sessions(clicks, config)
    assert prepared.clicks_left == {
        "read": 11,
        "in sessions of 2 or more clicks": 10,
        "of frequent items": 10,
        "in sessions of 2 or more clicks after that": 10,
    }
    assert listed(prepared) == (
        {
            "train": [(3, [1, 2])],
            "validation": [(3, [2, 1, 3])],
            "test": [(DAY + 30, [3, 2])],
        },
        ["2", "1", "3"],
    )


def test_where_nothing_is_left_the_clicks_after_each_filter_are_reported():
    rows = [(str(n // 2), n, str(n)) for n in range(10)] + [("single", 0, "1")]
    with pytest.raises(HlnError) as caught:
        prepare_sessions(to_clicks(rows, "session"), ProtocolSettings())
    counts = "11 read, 10 in sessions of 2 or more clicks, 0 of frequent items"
    assert counts in str(caught.value)
    with pytest.raises(HlnError, match="clicks left: 0 read; give a longer log"):
        prepare_sessions(to_clicks([], "session"), ProtocolSettings())
    with pytest.raises(HlnError, match="clicks left: 11 read, 0 in the time window; give"):
        prepare_sessions(to_clicks(rows, "session"), ProtocolSettings(window_months=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_seconds": 10}, "the train part is empty after all filters: lower `test_seconds`"),
        (
            {"test_from": "2014-04-08"},
            "the test part is empty after all filters: raise `test_seconds`",
        ),
    ],
)
def test_a_part_without_sessions_is_reported(changes, message):
    rows = [("a", 0, "1"), ("a", 1, "2"), ("b", 2, "2"), ("b", 3, "1")]
    with pytest.raises(HlnError, match=message):
        prepare_sessions(to_clicks(rows, "session"), ProtocolSettings(min_item_count=1, **changes))


def test_clicks_of_users_need_a_session_timeout():
    rows = [("a", 0, "1"), ("a", 1, "2")]
    with pytest.raises(UsageError, match="`session_timeout` is 0, but the log names users"):
        prepare_sessions(to_clicks(rows, "user"), ProtocolSettings())


def test_the_core_loads_neither_beam_nor_tensorflow():
    code = (
        "import sys; import hln_tf.data.protocol, hln_tf.data.frames; "
        "print(*{'apache_beam', 'tensorflow', 'pandas', 'beam_preprocess'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
