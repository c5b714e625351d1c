"""Sessions as people write them: lists, strings, arrays, Series."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hln_tf.common.errors import UsageError
from hln_tf.common.text import split_session

_EXPECTED = "expected sessions, each with its item ids, oldest first, such as [['a', 'b'], ['c']]"


def as_sessions(sessions: Any, separator: str) -> list[list[str]]:
    """Convert sessions in any of these forms into lists of item ids.

    Sessions are lists, tuples, arrays or Series of item ids; a session may also be
    one string, its ids joined by the separator. Ids may be integers.

    Args:
      sessions: Several sessions, or one as a string.
      separator: Joins item ids in a string.

    Raises:
      UsageError: It cannot be told what is meant; the message says what was
        expected.

    Example:
    >>> as_sessions([["a", "b"], (3, 4)], " ")
    [['a', 'b'], ['3', '4']]
    >>> as_sessions("a b", " ")
    [['a', 'b']]
    """
    if isinstance(sessions, str):
        return [split_session(sessions, separator)]
    rows = _as_list(sessions)
    if rows is None:
        raise UsageError(f"`sessions` is {_shown(sessions)}, {_EXPECTED}")
    flat = [row for row in rows if not isinstance(row, str) and _as_list(row) is None]
    if flat and len(flat) == len(rows) and not any(map(_is_missing, rows)):
        raise UsageError(
            f"`sessions` is a flat list, {_shown(sessions)}: write [[...]] for one session, "
            f"{_EXPECTED}"
        )
    texts = [row for row in rows if isinstance(row, str)]
    if len(texts) > 1 and not any(separator in text for text in texts):
        raise UsageError(
            f"`sessions` is a flat list of strings, {_shown(sessions)}: write [[...]] for one "
            f"session, or [['a'], ['b']] for sessions of one click"
        )
    return [_session(row, place, separator) for place, row in enumerate(rows)]


def _session(row: Any, place: int, separator: str) -> list[str]:
    if isinstance(row, str):
        return split_session(row, separator)
    ids = _as_list(row)
    if ids is None:
        raise UsageError(f"session {place} is {_shown(row)}, {_EXPECTED}")
    return [_item_id(item, place, click) for click, item in enumerate(ids)]


def _item_id(item: Any, place: int, click: int) -> str:
    """An item id as text; whole numbers as integers."""
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if isinstance(item, str):
        return item
    if isinstance(item, bool | np.bool_) or _is_missing(item):
        raise UsageError(
            f"click {click} of session {place} is {item!r}, expected an item id: leave out what "
            f"is missing"
        )
    if isinstance(item, int | np.integer):
        return str(int(item))
    if isinstance(item, float | np.floating) and float(item).is_integer():
        return str(int(item))
    raise UsageError(
        f"click {click} of session {place} is {_shown(item)}, expected an item id as text or an "
        f"integer"
    )


def _as_list(value: Any) -> list[Any] | None:
    """The elements of anything but text, mappings and tables; None for those."""
    if hasattr(value, "to_list"):  # a RaggedTensor, or a Series
        value = value.to_list()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else None
    is_table = hasattr(value, "columns") or hasattr(value, "column_names")
    if isinstance(value, str | bytes | Mapping) or is_table or not isinstance(value, Iterable):
        return None
    return list(value)


def _is_missing(item: Any) -> bool:
    return item is None or (isinstance(item, float | np.floating) and bool(np.isnan(item)))


def _shown(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
