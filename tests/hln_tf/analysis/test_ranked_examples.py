import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hln_tf.analysis.ranked_examples import (
    POPULARITY,
    SCHEMA,
    clicked_before,
    examples_table,
    extra_columns,
    popularity_classes,
    read_examples,
    write_examples,
)
from hln_tf.analysis.slices import slices, slices_markdown, slices_table
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions

# Item 4 has no click in training.
COUNTS = np.array([6, 3, 1, 0])
SESSIONS = Sessions.from_lists([[1, 2, 1], [2, 3], [4, 4, 1, 2]])
RANKS = np.array([1, 2, 3, 4, 5, 60], np.int32)


def table(days=(0, 0, 0)):
    sessions = Sessions(SESSIONS.items, SESSIONS.offsets, np.array(days) * 86_400 + 7_200)
    prefixes = Prefixes.from_sessions(sessions, 2)
    return examples_table(sessions, prefixes, RANKS, RANKS / 10, COUNTS, ["a", "b", "c", "d"])


def test_a_row_for_each_target():
    found = table()
    assert found.schema == SCHEMA
    assert found["session"].to_pylist() == [0, 0, 1, 2, 2, 2]
    assert found["position"].to_pylist() == [1, 2, 1, 1, 2, 3]
    assert found["target"].to_pylist() == ["b", "a", "c", "d", "a", "b"]
    assert found["rank"].to_pylist() == RANKS.tolist()
    assert found["popularity"].to_pylist() == [3, 6, 1, 0, 6, 3]
    assert found["in_session"].to_pylist() == [False, True, False, True, False, False]


def test_clicks_on_an_item_before_count_within_a_session():
    found = clicked_before(Sessions.from_lists([[5, 5, 5], [5, 1, 5], [1]]))
    assert found.tolist() == [False, True, True, False, False, True, False]


def test_each_class_of_popularity_has_a_third_of_the_clicks():
    names = [POPULARITY[each] for each in popularity_classes(np.array([1, 4, 0, 1, 2, 4]))]
    assert names == ["tail", "head", "unseen", "tail", "tail", "middle"]


def test_slices_divide_the_examples():
    found = {}
    for by, label, chosen in slices(table()):
        found.setdefault(by, {})[label] = chosen.tolist()
    assert set(found["popularity of the target"]) == {"head", "middle", "tail", "unseen"}
    assert set(found["clicks before the target"]) == {"1", "2", "3 to 4"}
    assert set(found["hour of the session (UTC)"]) == {"02"}
    for parts in found.values():
        assert np.sum(list(parts.values()), axis=0).tolist() == [1] * 6


def test_some_days_are_a_slice_each():
    found = [each.label for each in slices(table((0, 1, 1))) if each.by.startswith("day")]
    assert found == ["1970-01-01", "1970-01-02"]


def test_many_days_are_divided_by_weekday():
    """1970-01-01 was a Thursday."""
    sessions = Sessions.from_lists([[1, 2]] * 21)
    sessions = Sessions(sessions.items, sessions.offsets, np.arange(21) * 86_400)
    prefixes = Prefixes.from_sessions(sessions, 2)
    ones = np.ones(21, np.int32)
    found = examples_table(sessions, prefixes, ones, ones, COUNTS, ["a", "b", "c", "d"])
    weekdays = [each for each in slices(found) if each.by.startswith("weekday")]
    assert weekdays[0].label == "Monday"
    assert [np.flatnonzero(each.chosen)[0] for each in weekdays] == [4, 5, 6, 0, 1, 2, 3]


def with_devices(devices):
    """The examples of sessions with a column, whose value at the first click is no example's."""
    first = iter(["first", "first", "first"])
    of_clicks = [next(first), *devices[:2], next(first), devices[2], next(first), *devices[3:]]
    extra = pa.table({"log_device": pa.array(of_clicks, pa.large_string())})
    sessions = dataclasses.replace(SESSIONS, extra=extra)
    prefixes = Prefixes.from_sessions(sessions, 2)
    return examples_table(sessions, prefixes, RANKS, RANKS / 10, COUNTS, ["a", "b", "c", "d"])


def of_device(table):
    found = slices(table, ["device"])
    return {each.label: each.chosen.tolist() for each in found if each.by == "device at the target"}


def test_slices_by_the_value_of_a_column_at_the_target():
    """Those of more examples come first, those of equally many by name."""
    found = with_devices(["tv", "phone", "tv", None, "car", "tv"])
    assert found["log_device"].to_pylist() == ["tv", "phone", "tv", None, "car", "tv"]
    assert extra_columns(found) == ["device"] and extra_columns(table()) == []
    assert list(of_device(found)) == ["tv", "car", "phone", "(missing)"]
    assert of_device(found)["tv"] == [True, False, True, False, False, True]
    assert of_device(found)["(missing)"] == [False, False, False, True, False, False]


def test_rare_values_are_one_slice(monkeypatch):
    monkeypatch.setattr("hln_tf.analysis.slices._MAX_VALUES", 1)
    found = of_device(with_devices(["b", "c", "b", None, "(missing)", "a"]))
    assert list(found) == ["b", "(3 others)", "(missing)"]
    assert found["(3 others)"] == [False, True, False, False, True, True]


def test_a_value_is_shown_on_one_line():
    found = of_device(with_devices(["a\n b|c", "x" * 41, "x" * 40, "$", " ", "y"]))
    assert set(found) == {"a b|c", "x" * 37 + "...", "x" * 40, "$", "", "y"}
    rows = slices_markdown(with_devices(["a|b", *"cdefg"]), [1], ["device"]).splitlines()
    assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1


def test_an_extra_column_that_is_not_there_is_one_sentence():
    with pytest.raises(UsageError, match=r"no extra column 'land' of the log; it has 'device':"):
        slices(with_devices(list("abcdef")), ["land"])


def test_the_table_of_slices_has_their_metrics():
    header, first, *_ = slices_table(table(), [1, 2])
    assert header == [
        "slice by",
        "value",
        "examples",
        "%",
        "recall@1",
        "recall@2",
        "mrr@1",
        "mrr@2",
    ]
    assert first == [
        "popularity of the target",
        "head",
        "2",
        "33.3",
        "0.00",
        "50.00",
        "0.00",
        "25.00",
    ]


def test_the_file_has_the_table(tmp_path):
    write_examples(tmp_path / "ranks.parquet", table())
    assert read_examples(tmp_path / "ranks.parquet").equals(table())
    extra = with_devices(["tv", "phone", "tv", None, "car", "tv"])
    write_examples(tmp_path / "extra.parquet", extra)
    assert read_examples(tmp_path / "extra.parquet").equals(extra)


def test_a_file_that_is_no_such_table_is_one_sentence(tmp_path):
    path = tmp_path / "ranks.parquet"
    with pytest.raises(HlnError, match="does not exist"):
        read_examples(path)
    path.write_bytes(b"half")
    with pytest.raises(HlnError, match="no readable Parquet file"):
        read_examples(path)
    pq.write_table(pa.table({"rank": [1]}), path)
    with pytest.raises(HlnError, match="lacks the column session"):
        read_examples(path)
