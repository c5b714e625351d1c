"""Columns of a log as a table of clicks, with Arrow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LARGEST = 2**53  # from which on floats skip integers
JOINT = " / "


def join_clicks(
    session: pa.StringArray,
    time: pa.Int64Array,
    item: Sequence[pa.StringArray],
    joint: str = JOINT,
) -> tuple[pa.Table, np.ndarray]:
    """Join columns to clicks, and flag the well-formed ones, bool [rows].

    In these nothing is null, no id is empty and no line break is in the item id,
    which is to be a line of the vocabulary. Several columns of an item are joined by
    `joint`.
    """
    good = time.is_valid()
    for column in (session, *item):
        good = pc.and_(good, pc.fill_null(pc.not_equal(column, ""), False))
    for column in item:
        good = pc.and_not(good, pc.fill_null(pc.match_substring(column, "\n"), False))
    joined = item[0] if len(item) == 1 else pc.binary_join_element_wise(*item, joint)
    clicks = pa.table({"session": session, "time": time, "item": joined})
    return clicks, flags(good)


def to_text(ids: pa.Array) -> pa.StringArray:
    """Convert ids to text; null where a number is not whole, or too large for a float to be so.

    Args:
      ids: Text, integers, floats (as which pandas stores integers some of which are
        missing), or dictionaries of them.
    """
    ids = decode(ids)
    if pa.types.is_floating(ids.type):
        numbers = ids.cast(pa.float64())
        is_whole = pc.and_(
            pc.equal(pc.floor(numbers), numbers), pc.less(pc.abs(numbers), float(_LARGEST))
        )
        ids = pc.if_else(is_whole, numbers, pa.scalar(None, pa.float64())).cast(pa.int64())
    return ids.cast(pa.string())


def is_value(kind: pa.DataType) -> bool:
    """Check that a type is one that `to_values` takes: text, numbers, booleans and times."""
    return is_text(kind) or pa.types.is_primitive(kind) or pa.types.is_null(kind)


def to_values(column: pa.Array, missing: Sequence[str] = ()) -> pa.LargeStringArray:
    """Convert values of an extra column to text, whole numbers without a fraction.

    Args:
      column: Of a type that `is_value`, or a dictionary of it.
      missing: Texts that mean no value, besides the empty one.

    Returns:
      The texts; null where there is no value.
    """
    column = decode(column)
    texts = column.cast(pa.large_string())
    if pa.types.is_floating(column.type):
        texts = pc.coalesce(to_text(column).cast(pa.large_string()), texts)
        texts = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.large_string()), texts)
    absent = pc.is_in(texts, pa.array(["", *missing], pa.large_string()))
    return pc.if_else(absent, pa.scalar(None, pa.large_string()), texts)


def decode(column: pa.Array) -> pa.Array:
    """Return the values of a column, which may be encoded in a dictionary."""
    if not pa.types.is_dictionary(column.type):
        return column
    values = column.dictionary
    if pa.types.is_string_view(values.type):  # Arrow cannot index these
        values = values.cast(pa.string())
    return values.take(column.indices)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, which may be encoded in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Check that a type is one of the types of text."""
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def flags(booleans: pa.BooleanArray) -> np.ndarray:
    """Convert booleans without a null to bool [values]."""
    return booleans.to_numpy(zero_copy_only=False)


def matching(text: pa.StringArray, expression: str) -> pa.StringArray:
    """Replace text that does not match a regular expression by null."""
    is_match = pc.match_substring_regex(text, expression)
    return pc.if_else(is_match, text, pa.scalar(None, pa.string()))


def python_value(scalar: pa.Scalar) -> Any:
    """Return a value for a message; a time that Python does not have as a number."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # of another year, or with nanoseconds
        return scalar.value
