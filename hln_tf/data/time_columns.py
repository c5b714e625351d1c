"""Columns of times of any type in microseconds since 1970 UTC."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.data.time_patterns import TIMES, UNITS, TimeFormat
from hln_tf.data.time_text import Written, parse_duration, parse_written
from hln_tf.data.times import YEARS, apply_zone, from_numbers, from_timestamps, plausible_times

_SHOWN = 60  # characters of a value in a message
_NAMES = {"iso": "ISO 8601"}


class Times(NamedTuple):
    """Times of clicks.

    Attributes:
      values: Microseconds since 1970 UTC; null: no time in the format.
      ambiguous: Flags of those that their time zone has twice, as when clocks are put
        back; they are the earlier one. bool [times].
    """

    values: pa.Int64Array
    ambiguous: np.ndarray


def read_times(column: pa.Array, time_format: TimeFormat, added: pa.Array | None = None) -> Times:
    """Read times; what is no time in the format is null.

    Args:
      column: Timestamps or dates, whatever the format; text; or numbers, where the
        format is a unit.
      time_format: The format.
      added: What is added to each time: milliseconds as numbers or text, or the time
        of day as text.
    """
    times, is_local = _read(column, time_format)
    if added is not None:
        text = added.cast(pa.string())
        times = pc.add(times, parse_duration(text))
    if not time_format.zone or not is_local.any():
        return Times(times, np.zeros(len(times), bool))
    return Times(*apply_zone(times, is_local, time_format.zone))


def _read(column: pa.Array, time_format: TimeFormat) -> Written:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        is_local = pa.types.is_date(kind) or kind.tz is None
        return Written(from_timestamps(column), np.full(len(column), is_local))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if time_format.format in UNITS and not time_format.pattern:
            return Written(from_numbers(column, time_format.format), np.zeros(len(column), bool))
        column = column.cast(pa.string())  # 20191001, a date
    return parse_written(column.cast(pa.string()), time_format.format, time_format.pattern)


def explain_time(value: Any, time_format: TimeFormat) -> str:
    """Explain why a value is no time of a click log; empty where it is one or the reason unknown.

    Args:
      value: A text or a number.
      time_format: The format that it should have.
    """
    column = pa.array([str(value)])

    def is_time(form: TimeFormat) -> bool:
        return plausible_times(read_times(column, form).values)[0].is_valid

    if is_time(time_format):
        return ""
    if is_time(dataclasses.replace(time_format, zone="")):
        return f"{value} is left out in {time_format.zone}, where clocks are put forward then"
    for name in TIMES:
        if is_time(TimeFormat(name)):
            return f"{value} looks like {_NAMES.get(name, name)} (time_format {name})"
    [time] = read_times(column, time_format).values.to_pylist()
    if time is None:
        return (
            ""
            if time_format.pattern
            else f"{str(value)[:_SHOWN]!r} has another form: see time_pattern"
        )
    year = np.datetime64(time, "us").astype("datetime64[Y]")
    return f"{value} is in the year {year}, expected {YEARS[0]} to {YEARS[1] - 1}"
