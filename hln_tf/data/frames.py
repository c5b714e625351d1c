"""Data frames and Arrow tables as tables of clicks."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.clicks import (
    JOINT,
    decode,
    is_text,
    is_value,
    join_clicks,
    python_value,
    to_text,
    to_values,
    value_type,
)
from hln_tf.data.layout import EXTRA_PREFIX
from hln_tf.data.time_columns import read_times
from hln_tf.data.time_patterns import TimeFormat
from hln_tf.data.times import detect_unit

_ROWS = 1 << 20  # converted at a time
_COLUMNS_SHOWN = 30  # in a message
_CHARACTERS_SHOWN = 200  # of a value in a message
_SCHEMA = pa.schema([("session", pa.string()), ("time", pa.int64()), ("item", pa.string())])
_REMEDY = "correct it, or drop the row"
_ID = "an id: text, not empty and without a line break, or a whole number"
_TIME = (
    "a datetime, ISO 8601 text such as 2014-09-24T09:58:32Z, or seconds, milliseconds, "
    "microseconds or nanoseconds since 1970"
)


def clicks_from_frame(
    frame: Any,
    *,
    item: str | Sequence[str],
    time: str,
    session: str | None = None,
    user: str | None = None,
    separator: str = "",
    extra: Sequence[str] = (),
) -> pa.Table:
    """Convert a data frame to a table of clicks, the input of `prepare_sessions`.

    Ids are text or whole numbers. Times are datetimes, dates, ISO 8601 text, or
    numbers of seconds, milliseconds, microseconds or nanoseconds since 1970; without a
    time zone they are UTC.

    Args:
      frame: A pandas or Polars DataFrame, a pyarrow Table or RecordBatch, or any
        object with the method `__arrow_c_stream__`; a click in each row.
      item: Column of the item id, or several, whose texts are joined.
      time: Column of the time.
      session: Column of the session id.
      user: Instead of `session`, column of the user id; a session timeout then
        ends sessions.
      separator: Separator of item ids, which joins no columns of items; "" for none.
      extra: Further columns to convert: text, numbers, booleans or times.

    Returns:
      Columns `session` or `user` (string), `time` (int64, microseconds since 1970
      UTC), `item` (string) and those of `extra` (large_string), named with
      `hln_tf.data.layout.EXTRA_PREFIX`; rows in the order of the frame.

    Raises:
      UsageError: `frame` is no data frame, or a column is missing or ambiguous.
      HlnError: A value is missing or neither an id nor a time; the message names
        its column and row.
    """
    if (session is None) == (user is None):
        raise UsageError(
            f"session and user are {'neither' if user is None else 'both'} given, expected "
            "session=..., the column of the session id, or, with session_timeout, user=..., that "
            "of the user id"
        )
    items = [item] if isinstance(item, str) else list(item)
    if not items or len(set(items)) < len(items):
        raise UsageError(f"item is {items}, expected a column, or several, each once")
    key = session if user is None else user
    assert key is not None
    table = _select(frame, [key, time, *items, *extra])
    _check_types(table, [key, *items], time, extra)
    time_format = _time_format(table[time])
    joint = next(each for each in (JOINT, "/", "|") if not separator or separator not in each)
    names = {name: f"{EXTRA_PREFIX}{name}" for name in extra}
    schema = pa.schema([*_SCHEMA, *((name, pa.large_string()) for name in names.values())])
    converted = [schema.empty_table()]
    row = 0
    for batch in table.to_batches(max_chunksize=_ROWS):
        ids = {name: to_text(batch.column(name)) for name in (key, *items)}
        times = _convert_times(batch.column(time), time_format)
        clicks, good = join_clicks(ids[key], times, [ids[name] for name in items], joint)
        if not good.all():
            wrong = int(np.flatnonzero(~good)[0])
            texts = {name: ids[name][wrong].as_py() for name in ids}
            name = _wrong_column(texts, items, time)
            value = python_value(batch.column(name)[wrong])
            expected = f"{_ID}: {_REMEDY}"
            if name == time:
                expected = _expected_time(value, time_format)
            raise HlnError(
                f"row {row + wrong} (from 0) of the column {name!r} is {_shown(value)}, "
                f"expected {expected}"
            )
        for name, column in names.items():
            clicks = clicks.append_column(column, to_values(batch.column(name)))
        converted.append(clicks)
        row += batch.num_rows
    columns = ["session" if user is None else "user", "time", "item", *names.values()]
    return pa.concat_tables(converted).rename_columns(columns)


def _select(frame: Any, names: Sequence[str]) -> pa.Table:
    """Select columns of a data frame, each once, as an Arrow table."""
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"a column is given as {name!r}, expected its name")
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        _check_columns(list(frame.columns), names, list(frame.index.names))
        columns = {name: frame[name] for name in names}
        for name, series in columns.items():
            if isinstance(series.dtype, pandas.DatetimeTZDtype):
                columns[name] = series.dt.tz_convert(None)  # UTC
        return pa.table({name: _from_pandas(series, name) for name, series in columns.items()})
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if not hasattr(frame, "__arrow_c_stream__"):
        raise _wrong_frame(frame)
    try:
        table = pa.table(frame)
    except pa.ArrowInvalid:  # a stream of another thing than rows
        raise _wrong_frame(frame) from None
    _check_columns(table.column_names, names)
    return table.select(list(dict.fromkeys(names)))


def _wrong_frame(frame: Any) -> UsageError:
    return UsageError(
        f"the clicks are given as {type(frame).__name__}, expected a pandas or Polars DataFrame "
        "or a pyarrow Table with a row for each click"
    )


def _check_columns(columns: Sequence[Any], names: Sequence[str], index: Sequence[Any] = ()) -> None:
    for name in names:
        count = columns.count(name)
        if not count and name in index:
            raise UsageError(
                f"{name!r} is the index of the data frame, expected a column: use "
                f"clicks.reset_index()"
            )
        if not count:
            known = ", ".join(map(repr, columns[:_COLUMNS_SHOWN]))
            known += ", ..." if len(columns) > _COLUMNS_SHOWN else ""
            raise UsageError(
                f"the data frame has no column {name!r}; its columns are {known or 'none'}: "
                "name one of them"
            )
        if count > 1:
            raise UsageError(f"the data frame has {count} columns {name!r}: rename the others")


def _from_pandas(series: Any, name: str) -> pa.Array:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeError):
        pass
    # The values up to the first one that does not go with those before it.
    good, end = 0, len(series)
    while end - good > 1:
        middle = (good + end) // 2
        try:
            pa.array(series.iloc[:middle], from_pandas=True)
            good = middle
        except (pa.ArrowException, OverflowError, UnicodeError):
            end = middle
    raise HlnError(
        f"row {good} (from 0) of the column {name!r} is {_shown(series.iloc[good])}, which has "
        "another type than the rows before it, or one that is neither an id nor a time: "
        "convert the column to one type"
    )


def _check_types(table: pa.Table, ids: Sequence[str], time: str, extra: Sequence[str]) -> None:
    for name in extra:
        kind = value_type(table[name].type)
        if not is_value(kind):
            raise HlnError(
                f"the column {name!r} has values of type {kind}, expected text, numbers or times: "
                "convert the column, or leave it out of `extra_columns`"
            )
    for name in ids:
        kind = value_type(table[name].type)
        if not (_is_number(kind) or is_text(kind) or pa.types.is_null(kind)):
            raise HlnError(
                f"the column {name!r} has ids of type {kind}, expected text or whole numbers: "
                "convert the column"
            )
    kind = value_type(table[time].type)
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if not (is_time or _is_number(kind) or is_text(kind) or pa.types.is_null(kind)):
        raise HlnError(
            f"the column {time!r} has times of type {kind}, expected {_TIME}: convert the column"
        )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _time_format(column: pa.ChunkedArray) -> str:
    """Find the unit of numbers by the first of them; text is ISO 8601."""
    if not _is_number(value_type(column.type)):
        return "iso"
    first = next((value for value in column if value.is_valid), None)
    return (first is not None and detect_unit(first.as_py())) or "seconds"


def _convert_times(column: pa.Array, time_format: str) -> pa.Int64Array:
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.int64())
    return read_times(decode(column), TimeFormat(time_format)).values


def _wrong_column(texts: Mapping[str, str | None], items: Sequence[str], time: str) -> str:
    """Find the column to blame for a row that is not well-formed, by the texts of its ids."""
    for name, text in texts.items():
        if not text or (name in items and "\n" in text):
            return name
    return time


def _expected_time(value: Any, time_format: str) -> str:
    """Describe the expected time and the remedy, by what a number seems to be."""
    is_number = time_format != "iso" and isinstance(value, int | float)
    if is_number and detect_unit(value):  # it would do by itself
        return f"{time_format} since 1970, as in the rows before it: {_REMEDY}"
    return f"{_TIME}: {_REMEDY}"


def _shown(value: Any) -> str:
    text = repr(value)
    limit = _CHARACTERS_SHOWN
    return text if len(text) <= limit else f"{text[:limit]}..."
