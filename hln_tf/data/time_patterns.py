"""The formats of times, and regular expressions for ISO 8601, the US form and `strptime`.

The named groups of an expression are the parts of a time. This module imports neither NumPy nor
pyarrow, so that a command can check a pattern at once.
"""

import dataclasses
import re

from hln_tf.common.errors import UsageError

TIMES = {
    "iso": "ISO 8601 such as 2014-09-24T09:58:32.124Z, 2014-09-24 09:58 or 20140924",
    "month/day/year": "month/day/year such as 9/24/2014 9:58:32 AM",
    "seconds": "seconds since 1970 such as 1411552712",
    "milliseconds": "milliseconds since 1970 such as 1411552712124",
    "microseconds": "microseconds since 1970 such as 1411552712124000",
    "nanoseconds": "nanoseconds since 1970 such as 1411552712124000000",
}
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_DAYS = "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"


@dataclasses.dataclass(frozen=True)
class TimeFormat:
    """The way times are written.

    Attributes:
      format: One of `TIMES`.
      pattern: Instead of it, a pattern of `strptime`.
      zone: Time zone of times that name none, such as `Europe/Berlin`; "": UTC.
    """

    format: str = "iso"
    pattern: str = ""
    zone: str = ""


def _any_of(words: tuple[str, ...], letters: int | None = None) -> str:
    return f"(?i:{'|'.join(word[:letters] for word in words)})"


_HALF = r"(?P<half>(?i:AM|PM))"
_ZONE = r"(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)"
_FRACTION = r"(?:[.,](?P<fraction>\d+))?"
_CLOCK = rf"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d){_FRACTION})?"
ISO = (
    rf"^(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)(?:[T ]{_CLOCK}(?: ?{_ZONE})?)?$",
    r"^(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    rf"(?:T(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d){_FRACTION})?{_ZONE}?)?$",
)
US = (
    r"^(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"
    rf"(?:,? (?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::(?P<second>\d\d){_FRACTION})?"
    rf"(?: ?{_HALF})?(?: {_ZONE})?)?$",
)
CLOCK = rf"^{_CLOCK}$"
_DIRECTIVES = {
    "Y": r"(?P<year>\d{4})",
    "y": r"(?P<short_year>\d\d)",
    "m": r"(?P<month>\d{1,2})",
    "d": r"(?P<day>\d{1,2})",
    "H": r"(?P<hour>\d{1,2})",
    "I": r"(?P<hour>\d{1,2})",
    "M": r"(?P<minute>\d{1,2})",
    "S": r"(?P<second>\d{1,2})",
    "f": r"(?P<fraction>\d+)",
    "p": _HALF,
    "z": _ZONE,
    "b": f"(?P<name>{_any_of(MONTHS, 3)})",
    "B": f"(?P<name>{_any_of(MONTHS)})",
    "a": _any_of(_DAYS, 3),
    "A": _any_of(_DAYS),
    "%": "%",
}


def compile_pattern(pattern: str) -> str:
    """Translate a pattern of `strptime` into a regular expression.

    Args:
      pattern: Such as `%d.%m.%Y %H:%M`.

    Raises:
      UsageError: A directive is unknown or comes twice, or there is no full date.
    """
    pieces = ["^"]
    for number, piece in enumerate(re.split("%(.?)", pattern, flags=re.DOTALL)):
        if number % 2 == 0:
            pieces.append(re.escape(piece))
        elif piece in _DIRECTIVES:
            pieces.append(_DIRECTIVES[piece])
        else:
            known = " ".join(f"%{name}" for name in _DIRECTIVES)
            raise UsageError(
                f"time_pattern is {pattern!r}, which has '%{piece}'; known are {known}"
            )
    expression = "".join([*pieces, "$"])
    names = re.findall(r"\?P<(\w+)>", expression)
    if len(set(names)) < len(names):
        raise UsageError(f"time_pattern is {pattern!r}, which names a part of a time twice")
    needed = ({"year", "short_year"}, {"month", "name"}, {"day"})
    if not all(any(name in names for name in alternatives) for alternatives in needed):
        raise UsageError(
            f"time_pattern is {pattern!r}, expected at least a year, a month and a day, such as "
            "'%d.%m.%Y %H:%M:%S'"
        )
    return expression
