"""Sessions as people write them: lists, strings, arrays, Series."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hln_tf.common.errors import UsageError
from hln_tf.common.text import split_session
from hln_tf.data.tables import is_table

_UNORDERED = (set, frozenset)
_EXPECTED = "expected sessions, each with its item ids, oldest first, such as [['a', 'b'], ['c']]"


def as_sessions(sessions: Any, separator: str) -> list[list[str]]:
    """Convert sessions in any of these forms into lists of item ids.

    Sessions are lists, tuples, arrays or Series of item ids; a session may also be
    one string of ids joined by the separator. Ids may be integers. A list of two or
    more strings without a separator is refused, as it may be one session.

    Args:
      sessions: Several sessions, or one as a string.
      separator: Joins item ids in a string.

    Raises:
      UsageError: The form is ambiguous or not one of these; the message says
        what was expected.

    Example:
    >>> as_sessions([["a", "b"], (3, 4)], " ")
    [['a', 'b'], ['3', '4']]
    >>> as_sessions("a b", " ")
    [['a', 'b']]
    """
    if isinstance(sessions, str):
        return [split_session(sessions, separator)]
    if is_table(sessions):
        raise UsageError(
            f"`sessions` is a table, {type(sessions).__name__}, {_EXPECTED}: of a table of clicks "
            f"make them with clicks.sort_values('time').groupby('session')['item'].apply(list)"
        )
    if isinstance(sessions, _UNORDERED):
        raise _unordered("`sessions`", sessions)
    rows = _as_list(sessions)
    if rows is None:
        raise UsageError(f"`sessions` is {_shown(sessions)}, {_EXPECTED}")
    # Each is read once: it may be an iterator.
    lists = [row if isinstance(row, str) else _as_list(row) for row in rows]
    if rows and all(map(_is_item_id, rows)) and not any(isinstance(row, str) for row in rows):
        raise UsageError(
            f"`sessions` is a flat list, {_shown(sessions)}: write [[...]] for one session, or "
            f"[[1, 2], [3]] for several"
        )
    texts = [row for row in rows if isinstance(row, str)]
    if len(texts) > 1 and not any(separator in text for text in texts):
        raise UsageError(
            f"`sessions` is a flat list of strings, {_shown(sessions)}: write [[...]] for one "
            f"session, or [['a'], ['b']] for sessions of one click; strings are sessions where "
            f"one of them has the separator {separator!r}"
        )
    return [_session(rows[place], ids, place, separator) for place, ids in enumerate(lists)]


def as_item_ids(ids: Any, argument: str) -> list[str]:
    """Convert a collection of item ids to text.

    Args:
      ids: Text or whole numbers.
      argument: Name of the argument, for the error.

    Raises:
      UsageError: It is no collection, or one of them is no item id.
    """
    items = _as_list(ids)
    if items is None:
        raise UsageError(
            f"`{argument}` is {_shown(ids)}, expected a list of item ids, such as ['a', 'b']"
        )
    return [_item_id(item, f"element {at} of `{argument}`") for at, item in enumerate(items)]


def as_item_id(item: Any, argument: str) -> str:
    """Convert an item id, text or a whole number, to text.

    Args:
      item: The item id.
      argument: Name of the argument, for the error.

    Raises:
      UsageError: It is no item id.
    """
    return _item_id(item, f"`{argument}`")


def _session(row: Any, ids: list[Any] | str | None, place: int, separator: str) -> list[str]:
    if isinstance(ids, str):
        return split_session(ids, separator)
    if isinstance(row, _UNORDERED):
        raise _unordered(f"session {place}", row)
    if ids is None:
        raise UsageError(f"session {place} is {_shown(row)}, {_EXPECTED}")
    return [
        _item_id(item, "click {} of session {}", click, place) for click, item in enumerate(ids)
    ]


def _item_id(item: Any, where: str, *positions: int) -> str:
    """Convert an item id to text; whole numbers are written as integers."""
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if isinstance(item, str):
        return item
    if _is_item_id(item):
        return str(int(item))
    remedy = ": leave out what is missing" if _is_missing(item) else " as text or a whole number"
    raise UsageError(f"{where.format(*positions)} is {_shown(item)}, expected an item id{remedy}")


def _is_item_id(item: Any) -> bool:
    """Check that a value is text or a whole number."""
    if isinstance(item, float | np.floating):
        return float(item).is_integer()
    return isinstance(item, str | bytes | int | np.integer) and not isinstance(item, bool)


def _unordered(where: str, value: Any) -> UsageError:
    return UsageError(
        f"{where} is a {type(value).__name__}, which has no order: give a list, oldest first"
    )


def _as_list(value: Any) -> list[Any] | None:
    """List the elements of anything but text, mappings and tables; None for those."""
    if is_table(value):
        return None
    if hasattr(value, "to_list"):  # a RaggedTensor, or a Series
        value = value.to_list()
    elif hasattr(value, "to_pylist"):  # an Arrow array
        value = value.to_pylist()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else None
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    return list(value)


def _is_missing(item: Any) -> bool:
    is_nan = isinstance(item, float | np.floating) and bool(np.isnan(item))
    return item is None or is_nan or type(item).__name__ in ("NAType", "NaTType")  # of pandas


def _shown(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
