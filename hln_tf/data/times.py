"""Times of clicks in microseconds since 1970 UTC, with Arrow: numbers, timestamps, time zones."""

import datetime
import zoneinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.data.clicks import flags

SECOND = 1_000_000  # microseconds
# Nanoseconds of one unit, the smallest number and the first one too large: from 1970 (1973) to
# the year 5138, so that one unit is not mistaken for the other.
_UNITS = {
    "seconds": (1_000_000_000, 0, 1e11),
    "milliseconds": (1_000_000, 1e11, 1e14),
    "microseconds": (1_000, 1e14, 1e17),
    "nanoseconds": (1, 1e17, 1e20),
}
_TIMESTAMPS = {"s": SECOND, "ms": 1_000, "us": 1}
_QUARTER = 900 * SECOND  # the offsets of time zones change on quarters of an hour
_EPOCH = datetime.datetime(1970, 1, 1)
_FIRST, _END = -70 * 366 * 86_400 * SECOND, 230 * 365 * 86_400 * SECOND  # that have an offset
# The years of click logs.
YEARS = (1990, 2100)
_PLAUSIBLE = tuple(
    int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()) for year in YEARS
)


def from_numbers(numbers: pa.Array, unit: str) -> pa.Int64Array:
    """Convert numbers since 1970 to microseconds; implausible ones are null.

    Args:
      numbers: Integers or floats.
      unit: `seconds`, `milliseconds`, `microseconds` or `nanoseconds`.
    """
    nanoseconds, least, end = _UNITS[unit]
    floats = numbers.cast(pa.float64(), safe=False)  # those that lose digits are implausible
    plausible = pc.and_(pc.greater_equal(floats, least), pc.less(floats, end))
    if pa.types.is_integer(numbers.type):
        null = pa.scalar(None, numbers.type)
        whole = pc.if_else(plausible, numbers, null).cast(pa.int64(), safe=False)
        if nanoseconds >= 1_000:
            return pc.multiply(whole, nanoseconds // 1_000)
        return pc.divide(whole, 1_000)
    floats = pc.if_else(plausible, floats, pa.scalar(None, pa.float64()))
    return pc.round(pc.multiply(floats, nanoseconds / 1_000)).cast(pa.int64())


def detect_unit(number: float) -> str | None:
    """Find the unit of a number since 1970, such as `seconds`; None if implausible."""
    for unit, (_, least, end) in _UNITS.items():
        if least <= number < end:
            return unit
    return None


def from_timestamps(column: pa.Array) -> pa.Int64Array:
    """Convert timestamps or dates to microseconds, rounded down; those out of range are null.

    A timestamp without a time zone is UTC, and a date is its midnight.
    """
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    values = column.cast(pa.int64()).fill_null(0).to_numpy()
    if column.type.unit == "ns":
        return pa.array(values // 1_000, mask=~flags(column.is_valid()))
    unit = _TIMESTAMPS[column.type.unit]
    largest = np.iinfo(np.int64).max // unit
    fits = (values >= -largest) & (values <= largest)
    return pa.array(np.where(fits, values, 0) * unit, mask=~(fits & flags(column.is_valid())))


def apply_zone(
    times: pa.Int64Array, is_local: np.ndarray, zone: str
) -> tuple[pa.Int64Array, np.ndarray]:
    """Convert local times of a time zone to UTC.

    A time that comes twice, when clocks are put back, is the earlier one; a time that
    is left out, when they are put forward, is null.

    Args:
      times: Microseconds since 1970, local or UTC.
      is_local: Flags those that are local, bool [times].
      zone: Name of the time zone, such as `Europe/Berlin`.

    Returns:
      Microseconds since 1970 UTC, and flags of the times that come twice, bool [times].
    """
    values = times.fill_null(0).to_numpy()
    is_local = is_local & flags(times.is_valid()) & (values >= _FIRST) & (values < _END)
    quarters, index = np.unique(values[is_local] // _QUARTER, return_inverse=True)
    region = zoneinfo.ZoneInfo(zone)
    offsets = np.array(
        [[_offset(int(quarter), region, fold) for fold in (0, 1)] for quarter in quarters.tolist()],
        np.int64,
    ).reshape(-1, 2)[index]
    converted, twice = values.copy(), np.zeros(len(values), bool)
    converted[is_local] -= offsets[:, 0]
    twice[is_local] = offsets[:, 0] > offsets[:, 1]
    never = np.zeros(len(values), bool)
    never[is_local] = offsets[:, 0] < offsets[:, 1]
    return pa.array(converted, mask=never | ~flags(times.is_valid())), twice


def _offset(quarter: int, region: zoneinfo.ZoneInfo, fold: int) -> int:
    """Return the offset from UTC, in microseconds, at a local quarter of an hour since 1970."""
    local = _EPOCH + datetime.timedelta(microseconds=quarter * _QUARTER)
    offset = local.replace(tzinfo=region, fold=fold).utcoffset()
    assert offset is not None
    return offset // datetime.timedelta(microseconds=1)


def plausible_times(times: pa.Int64Array) -> pa.Int64Array:
    """Replace times outside of the years 1990 to 2100 by null."""
    first, end = (bound * SECOND for bound in _PLAUSIBLE)
    inside = pc.and_(pc.greater_equal(times, first), pc.less(times, end))
    return pc.if_else(inside, times, pa.scalar(None, pa.int64()))


def whole_seconds(microseconds: np.ndarray) -> np.ndarray:
    """Round microseconds down to seconds, int64."""
    return microseconds // SECOND
