"""Written times in microseconds since 1970, with Arrow."""

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.data.clicks import flags, matching
from hln_tf.data.parts import DAY
from hln_tf.data.time_patterns import CLOCK, ISO, MONTHS, US, compile_pattern
from hln_tf.data.times import SECOND, from_numbers

# The usual form, whose whole seconds Arrow itself parses; other forms go the slower way.
_USUAL = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|UTC|GMT|[+-]\d\d(:?\d\d)?))?$"
_REST = re.compile(r"(?:\.(?P<fraction>\d+))? ?(?P<zone>\S+)?")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?")
_WHOLE = r"^(\d{1,18}|[1-8]\d{18})$"  # what int64 holds
_NUMBER = r"^\d+(\.\d+)?([eE][+-]?\d{1,3})?$"


class Written(NamedTuple):
    """Parsed times.

    Attributes:
      times: Microseconds since 1970, UTC but for local ones; null: no time.
      is_local: Flags times that name neither UTC nor an offset, bool [times].
    """

    times: pa.Int64Array
    is_local: np.ndarray


def parse_written(text: pa.StringArray, time_format: str, pattern: str = "") -> Written:
    """Parse written times; text that is no time in the format is null.

    Args:
      text: Times as a log has them.
      time_format: `iso`, `month/day/year`, or the unit of numbers since 1970, such as `seconds`.
      pattern: Instead of a format, a pattern of `strptime`.
    """
    if pattern:
        return _parse_parts(text, (compile_pattern(pattern),))
    if time_format == "iso":
        return _parse_iso(text)
    if time_format == "month/day/year":
        return _parse_parts(text, US)
    return Written(_parse_numbers(text, time_format), np.zeros(len(text), bool))


def parse_duration(text: pa.StringArray) -> pa.Int64Array:
    """Parse milliseconds, or a time of day such as 09:58:32, into microseconds; null: neither."""
    numbers = matching(text, _NUMBER).cast(pa.float64())
    numbers = pc.if_else(pc.less(numbers, 1e14), numbers, pa.scalar(None, pa.float64()))
    milliseconds = pc.round(pc.multiply(numbers, 1_000.0)).cast(pa.int64())
    if milliseconds.null_count == text.null_count:
        return milliseconds
    parts = _Parts(text, CLOCK)
    seconds, is_right = parts.clock()
    return pc.coalesce(milliseconds, pa.array(seconds, mask=~is_right))


def _parse_numbers(text: pa.StringArray, unit: str) -> pa.Int64Array:
    whole = from_numbers(matching(text, _WHOLE).cast(pa.int64()), unit)
    if whole.null_count == text.null_count:
        return whole
    return pc.coalesce(whole, from_numbers(matching(text, _NUMBER).cast(pa.float64()), unit))


def _parse_iso(text: pa.StringArray) -> Written:
    usual = matching(text, _USUAL)
    whole = pc.utf8_slice_codeunits(usual, 0, 19)
    try:
        seconds = whole.cast(pa.timestamp("s")).cast(pa.int64())
    except pa.ArrowInvalid:  # 30 February: Arrow does not say in which row
        seconds = pa.array(map(_parse_whole, whole), pa.int64())
    # Few different ones: fractions in milliseconds, the offsets of a few time zones.
    rest = pc.utf8_slice_codeunits(usual, 19).dictionary_encode()
    extra = [_parse_rest(each) for each in rest.dictionary.to_pylist()]
    local = pa.array([is_local for _, is_local in extra], pa.bool_()).take(rest.indices)
    added = pa.array([added for added, _ in extra], pa.int64()).take(rest.indices)
    times = pc.add(pc.multiply(seconds, SECOND), added)
    is_local = flags(local.fill_null(False))
    if usual.null_count == text.null_count:
        return Written(times, is_local)
    others = _parse_parts(pc.if_else(usual.is_valid(), pa.scalar(None, pa.string()), text), ISO)
    return Written(pc.coalesce(times, others.times), is_local | others.is_local)


def _parse_whole(text: pa.StringScalar) -> int | None:
    try:
        return text.cast(pa.timestamp("s")).value
    except pa.ArrowInvalid:
        return None


def _parse_rest(text: str) -> tuple[int | None, bool]:
    """Parse what follows the seconds into microseconds to add, and whether the time is local."""
    found = _REST.fullmatch(text)
    assert found
    fraction = int((found["fraction"] or "0")[:6].ljust(6, "0"))
    offset = _parse_zone(found["zone"] or "")
    return None if offset is None else fraction - offset, not found["zone"]


def _parse_zone(zone: str) -> int | None:
    """Parse an offset from UTC into microseconds; None where it is too large."""
    found = _OFFSET.fullmatch(zone)
    if not found:
        return 0  # UTC by name, or a local time
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        return None
    offset = (hours * 60 + minutes) * 60 * SECOND
    return offset if found["sign"] == "+" else -offset


def _parse_parts(text: pa.StringArray, expressions: tuple[str, ...]) -> Written:
    """Parse times by regular expressions whose named groups are their parts."""
    times, is_local = pa.nulls(len(text), pa.int64()), np.zeros(len(text), bool)
    for expression in expressions:
        parts = _Parts(text, expression)
        days, is_date = parts.date()
        clock, is_clock = parts.clock()
        offset, is_zone, is_naive = parts.zone()
        found = pa.array(days * DAY * SECOND + clock - offset, mask=~(is_date & is_clock & is_zone))
        times = pc.coalesce(times, found)
        is_local |= is_naive & flags(found.is_valid())
    return Written(times, is_local)


class _Parts:
    """The parts of times, as columns of NumPy.

    Args:
      text: The times.
      expression: A regular expression with a named group for each part.
    """

    def __init__(self, text: pa.StringArray, expression: str) -> None:
        found = pc.extract_regex(text, expression)
        self.names = {field.name for field in found.type}
        self._parts = dict(zip(self.names, map(found.field, self.names), strict=True))
        self.matches = flags(found.is_valid())

    def _text(self, name: str) -> pa.StringArray:
        part = self._parts.get(name, pa.array([""] * len(self.matches), pa.string()))
        return part.fill_null("")

    def _number(self, name: str, default: int = 0) -> np.ndarray:
        text = self._text(name)
        return pc.if_else(pc.equal(text, ""), str(default), text).cast(pa.int64()).to_numpy()

    def date(self) -> tuple[np.ndarray, np.ndarray]:
        """Return days since 1970, int64 [times], and flags of those that exist."""
        year, month, day = self._number("year", 1970), self._number("month", 1), self._number("day")
        if "short_year" in self.names:
            short = self._number("short_year")
            year = np.where(short < 69, 2000, 1900) + short  # as POSIX has it
        if "name" in self.names:
            name = pc.utf8_slice_codeunits(pc.utf8_lower(self._text("name")), 0, 3)
            names = pa.array([month[:3] for month in MONTHS])
            month = pc.index_in(name, names).fill_null(0).to_numpy() + 1
        months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        days = months.astype("datetime64[D]") + (day - 1)
        exists = (days.astype("datetime64[M]") == months) & (month >= 1) & (month <= 12)
        return days.astype(np.int64), exists & self.matches

    def clock(self) -> tuple[np.ndarray, np.ndarray]:
        """Return microseconds since midnight, int64 [times], and flags of those that exist."""
        hour, minute, second = map(self._number, ("hour", "minute", "second"))
        fraction = pc.utf8_rpad(pc.utf8_slice_codeunits(self._text("fraction"), 0, 6), 6, "0")
        exists = self.matches & (hour <= 23) & (minute <= 59) & (second <= 59)
        if "half" in self.names:
            half = pc.utf8_upper(self._text("half"))
            has_half = flags(pc.not_equal(half, ""))
            is_afternoon = flags(pc.equal(half, "PM"))
            exists &= ~has_half | ((hour >= 1) & (hour <= 12))
            hour = np.where(has_half, hour % 12 + 12 * is_afternoon, hour)
        seconds = (hour * 60 + minute) * 60 + second
        return seconds * SECOND + fraction.cast(pa.int64()).to_numpy(), exists

    def zone(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return offsets in microseconds, int64 [times], flags of those that exist, and of none."""
        zones = self._text("zone").dictionary_encode()
        offsets = [_parse_zone(each) for each in zones.dictionary.to_pylist()]
        found = pa.array(offsets, pa.int64()).take(zones.indices)
        is_naive = flags(pc.equal(self._text("zone"), ""))
        return found.fill_null(0).to_numpy(), flags(found.is_valid()), is_naive
