"""Sessions and item ids in the forms in which people have them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from hln_tf.common.errors import UsageError
from hln_tf.retrieval.inputs import as_item_id, as_item_ids, as_sessions


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ([], []),
        ((), []),
        ([[]], [[]]),
        ([["a", "b"], ["c"]], [["a", "b"], ["c"]]),
        ((("a", "b"), ["c"]), [["a", "b"], ["c"]]),
        ((each for each in [["a"], iter("bc")]), [["a"], ["b", "c"]]),
        ("a b", [["a", "b"]]),
        ("", [[]]),
        (["a b", "c"], [["a", "b"], ["c"]]),
        (["a"], [["a"]]),
        (["a  b", ["a b"]], [["a", "b"], ["a b"]]),
        ([[1, 2], [3.0]], [["1", "2"], ["3"]]),
        ([[b"a", "b"]], [["a", "b"]]),
        ([["a", 7]], [["a", "7"]]),
        (np.array([[1, 2], [3, 4]]), [["1", "2"], ["3", "4"]]),
        (np.array([["a", "b"]]), [["a", "b"]]),
        (np.array([[2.0**40, -0.0]]), [[str(2**40), "0"]]),
        ([np.array([1, 2], np.uint64), np.array(["a"])], [["1", "2"], ["a"]]),
        (pd.Series([["a", "b"], ["c"]], index=[5, 3]), [["a", "b"], ["c"]]),
        (pd.Series(["a b", "c"]), [["a", "b"], ["c"]]),
        ([pd.Series([1, 2], index=[9, 8])], [["1", "2"]]),
        (pa.array([["a", "b"], [], ["c"]]), [["a", "b"], [], ["c"]]),
        (tf.ragged.constant([["a", "b"], ["c"], []]), [["a", "b"], ["c"], []]),
        (tf.ragged.constant([[1, 2], [3]]), [["1", "2"], ["3"]]),
        (tf.constant([["a", "b"]]), [["a", "b"]]),
    ],
)
def test_sessions_of_any_form_become_lists_of_item_ids(sessions, expected):
    assert as_sessions(sessions, " ") == expected


def test_the_separator_is_that_of_the_data_set():
    assert as_sessions("a b,c", ",") == [["a b", "c"]]
    assert as_sessions(["a b,c", "d"], ",") == [["a b", "c"], ["d"]]


EXPECTED = r"expected sessions, each with its item ids, oldest first, such as \[\['a', 'b'\], \['c'"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, rf"^`sessions` is None, {EXPECTED}"),
        (5, rf"^`sessions` is 5, {EXPECTED}"),
        (np.float64(2), rf"^`sessions` is .*, {EXPECTED}"),
        (np.array("a"), rf"^`sessions` is .*, {EXPECTED}"),
        ({("a", "b")}, r"^`sessions` is a set, which has no order: give a list, oldest first"),
        ([["a"], {"b", "c"}], "^session 1 is a set, which has no order: give a list, oldest first"),
        ([frozenset("b")], "^session 0 is a frozenset, which has no order"),
        ([{"a": 1}], rf"^session 0 is \{{'a': 1\}}, {EXPECTED}"),
        ({"a": 1}, rf"^`sessions` is \{{'a': 1\}}, {EXPECTED}"),
        (b"a b", rf"^`sessions` is b'a b', {EXPECTED}"),
        (pd.DataFrame({"a": [1]}), rf"^`sessions` is a table, DataFrame, {EXPECTED}.*groupby\("),
        (pa.table({"a": [[1]]}), rf"^`sessions` is a table, Table, {EXPECTED}.*apply\(list\)"),
        (
            [1, 2],
            r"^`sessions` is a flat list, \[1, 2\]: write \[\[\.\.\.\]\] for one s",
        ),
        (np.array([1, 2]), r"^`sessions` is a flat list, .*: write \[\[\.\.\.\]\]"),
        (pd.Series([1, 2]), r"^`sessions` is a flat list, .*: write \[\[\.\.\.\]\]"),
        (["a", "b"], r"^`sessions` is a flat list of strings, \['a', 'b'\]: write"),
        (pd.Series(["a", "b"]), "^`sessions` is a flat list of strings, .*: write"),
        ([["a"], None], rf"^session 1 is None, {EXPECTED}"),
        ([["a"], float("nan")], rf"^session 1 is nan, {EXPECTED}"),
        ([None], rf"^session 0 is None, {EXPECTED}"),
        ([["a"], {"b": 1}], rf"^session 1 is \{{'b': 1\}}, {EXPECTED}"),
        ([["a"], 5], rf"^session 1 is 5, {EXPECTED}"),
        ([["a"], ["b", None]], "^click 1 of session 1 is None, expected an item id: leave out"),
        ([[1.0, np.nan]], "^click 1 of session 0 is nan, expected an item id: leave out"),
        ([[1.5]], r"^click 0 of session 0 is 1\.5, expected an item id as text or a whole number"),
        ([[float("inf")]], "^click 0 of session 0 is inf, expected an item id as text"),
        ([["a", True]], "^click 1 of session 0 is True, expected an item id as text"),
        ([[["a"]]], r"^click 0 of session 0 is \['a'\], expected an item id as text"),
        ([[pd.NA]], "^click 0 of session 0 is <NA>, expected an item id: leave out"),
        ([[pd.NaT]], "^click 0 of session 0 is NaT, expected an item id: leave out"),
    ],
)
def test_what_is_no_session_is_named_in_one_sentence(wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        as_sessions(wrong, " ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_item_ids_are_text_or_whole_numbers():
    assert as_item_ids(["a", 1, np.int32(2), 3.0, b"b"], "deny") == ["a", "1", "2", "3", "b"]
    assert as_item_ids({"a"}, "deny") == as_item_ids(pd.Index(["a"]), "deny") == ["a"]
    assert [as_item_id(item, "item") for item in ("a", 1, 2.0)] == ["a", "1", "2"]
    for wrong in ("ab", 5, {"a": 1}):
        with pytest.raises(UsageError, match=r"^`deny` is .*, expected a list of item ids"):
            as_item_ids(wrong, "deny")
    with pytest.raises(UsageError, match=r"^element 1 of `deny` is None, expected an item id"):
        as_item_ids(["a", None], "deny")
    with pytest.raises(UsageError, match=r"^`item` is nan, expected an item id"):
        as_item_id(np.nan, "item")
