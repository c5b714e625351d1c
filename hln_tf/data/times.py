"""Times of clicks in microseconds since 1970 UTC, with Arrow."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SECOND = 1_000_000  # microseconds
_ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?$"
_REST = re.compile(
    r"(?:\.(?P<fraction>\d+))?(?:Z|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?)?"
)
_NUMBER = r"^\d+(\.\d+)?$"
# Microseconds of one unit, the smallest number and the first one too large: from 1970 (1973) to
# the year 5138, so that one unit is not mistaken for the other.
_UNITS = {"seconds": (SECOND, 0, 1e11), "milliseconds": (1_000, 1e11, 1e14)}
_TIMESTAMPS = {"s": SECOND, "ms": 1_000, "us": 1}


def parse_times(text: pa.StringArray, time_format: str) -> pa.Int64Array:
    """Parse times into microseconds since 1970 UTC; text that is no time in the format is null.

    Args:
      text: Times as a log has them.
      time_format: `iso`, `seconds` or `milliseconds`. A time in ISO 8601 without
        an offset is UTC.
    """
    if time_format == "iso":
        return _parse_iso(text)
    well_formed = pc.match_substring_regex(text, _NUMBER)
    numbers = pc.if_else(well_formed, text, pa.scalar(None, pa.string()))
    return from_numbers(numbers.cast(pa.float64()), time_format)


def from_numbers(numbers: pa.Array, time_format: str) -> pa.Int64Array:
    """Convert seconds or milliseconds since 1970 to microseconds; implausible ones are null."""
    unit, least, end = _UNITS[time_format]
    numbers = numbers.cast(pa.float64(), safe=False)  # those that lose digits are implausible
    plausible = pc.and_(pc.greater_equal(numbers, least), pc.less(numbers, end))
    numbers = pc.if_else(plausible, numbers, pa.scalar(None, pa.float64()))
    return pc.round(pc.multiply(numbers, float(unit))).cast(pa.int64())


def detect_unit(number: float) -> str | None:
    """Find the unit of a number since 1970, `seconds` or `milliseconds`; None if implausible."""
    for unit, (_, least, end) in _UNITS.items():
        if least <= number < end:
            return unit
    return None


def detect_finer_unit(number: float) -> str | None:
    """Find a unit that is not supported, `microseconds` or `nanoseconds`; None if implausible."""
    end = _UNITS["milliseconds"][2]
    if end <= number < 1_000 * end:
        return "microseconds"
    return "nanoseconds" if 1_000 * end <= number < 1_000_000 * end else None


def from_timestamps(column: pa.Array) -> pa.Int64Array:
    """Convert timestamps or dates to microseconds, rounded down; those out of range are null.

    A timestamp without a time zone is UTC, and a date is its midnight.
    """
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    values = column.cast(pa.int64()).fill_null(0).to_numpy()
    if column.type.unit == "ns":
        return pa.array(values // 1_000, mask=~_flags(column.is_valid()))
    unit = _TIMESTAMPS[column.type.unit]
    largest = np.iinfo(np.int64).max // unit
    fits = (values >= -largest) & (values <= largest)
    return pa.array(np.where(fits, values, 0) * unit, mask=~(fits & _flags(column.is_valid())))


def _flags(booleans: pa.BooleanArray) -> np.ndarray:
    return booleans.to_numpy(zero_copy_only=False)


def _parse_iso(text: pa.StringArray) -> pa.Int64Array:
    well_formed = pc.match_substring_regex(text, _ISO)
    text = pc.if_else(well_formed, text, pa.scalar(None, pa.string()))
    whole = pc.utf8_slice_codeunits(text, 0, 19)
    try:
        seconds = whole.cast(pa.timestamp("s")).cast(pa.int64())
    except pa.ArrowInvalid:  # 30 February: Arrow does not say in which row
        seconds = pa.array(map(_parse_whole, whole), pa.int64())
    # Few different ones: fractions in milliseconds, the offsets of a few time zones.
    rest = pc.utf8_slice_codeunits(text, 19).dictionary_encode()
    extra = pa.array(map(_parse_rest, rest.dictionary.to_pylist()), pa.int64())
    return pc.add(pc.multiply(seconds, SECOND), extra.take(rest.indices))


def _parse_whole(text: pa.StringScalar) -> int | None:
    try:
        return text.cast(pa.timestamp("s")).value
    except pa.ArrowInvalid:
        return None


def _parse_rest(text: str) -> int | None:
    """Parse fraction and offset into the microseconds to add to the whole seconds."""
    found = _REST.fullmatch(text)
    assert found
    fraction = int((found["fraction"] or "0")[:6].ljust(6, "0"))
    if not found["sign"]:
        return fraction
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        return None
    offset = (hours * 60 + minutes) * 60 * SECOND
    return fraction - offset if found["sign"] == "+" else fraction + offset


def whole_seconds(microseconds: np.ndarray) -> np.ndarray:
    """Round microseconds down to seconds, int64."""
    return microseconds // SECOND
