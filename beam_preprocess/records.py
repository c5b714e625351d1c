r"""The boundaries of rows of text: line breaks that are not inside quotes.

A quote at the beginning of a field opens it, and the next one that is not doubled closes it
(RFC 4180). Any other quote, as in `5" disk`, is a character like others. A row ends with `\n`,
`\r\n` or `\r`.
"""

import functools
import re

import numpy as np

_QUOTED = rb'"[^"]*(?:""[^"]*)*(?:"|\Z)'
_END = rb"(?:\r\n|\r|\n|\Z)"


@functools.cache
def _expressions(delimiter: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return expressions of a field with what ends it, and of a row."""
    between = re.escape(delimiter.encode())
    field = rb"(%b)?[^%b\r\n]*" % (_QUOTED, between)
    uncaptured = field.replace(b"(", b"(?:", 1)
    row = rb"%b(?:%b%b)*%b" % (uncaptured, between, uncaptured, _END)
    return re.compile(rb"%b(?:%b|%b)" % (field, between, _END)), re.compile(row)


def whole_rows(data: bytes, delimiter: str) -> int:
    r"""Measure the whole rows at the beginning of `data`, in bytes; each ends with `\n`.

    Args:
      data: Text that begins with a row.
      delimiter: The character between fields that may be quoted; empty where quotes
        mean nothing.
    """
    end = data.rfind(b"\n") + 1
    if not delimiter or b'"' not in data:
        return end
    if _is_regular(data, delimiter):
        while end and data.count(b'"', 0, end) % 2:
            # Within a quoted field: go back to the last line break before it.
            end = data.rfind(b"\n", 0, data.rfind(b'"', 0, end)) + 1
        return end
    *starts, last = row_starts(data, delimiter).tolist()
    if data.endswith(b"\n") and open_quote(data[last:], delimiter) is None:
        return len(data)
    return next((s for s in reversed([*starts, last]) if s and data[s - 1 : s] == b"\n"), 0)


def row_starts(data: bytes, delimiter: str) -> np.ndarray:
    """Find where each row begins, int64 [rows]; see `whole_rows` for the arguments."""
    text = np.frombuffer(data, np.uint8)
    if delimiter and b'"' in data and not _is_regular(data, delimiter):
        rows = _expressions(delimiter)[1].finditer(data)
        starts = np.array([row.start() for row in rows], np.int64)
        return starts[starts < len(data)]
    ends = text == ord("\n")
    returns = text == ord("\r")
    ends |= returns & ~np.append(ends[1:], False)
    if delimiter and b'"' in data:
        ends &= np.cumsum(text == ord('"')) % 2 == 0
    starts = np.concatenate([[0], np.flatnonzero(ends) + 1])
    return starts[starts < len(data)]


def open_quote(row: bytes, delimiter: str) -> int | None:
    """Find the quote of a row that opens a field and is not closed; None where there is none."""
    for field in _expressions(delimiter)[0].finditer(row):
        quoted = field[1]
        if quoted is not None and (len(quoted) < 2 or quoted.count(b'"') % 2):
            return field.start()
    return None


def _is_regular(data: bytes, delimiter: str) -> bool:
    """Check that quotes are only where they open, close or double, so that counting them is enough.

    Then an even number of quotes before a line break means that it is outside of any quoted field.
    """
    text = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    is_around = np.zeros(256, bool)
    is_around[list(f'{delimiter}\r\n"'.encode())] = True
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) and not opening[0]:
        opening = opening[1:]
    if len(closing) and closing[-1] == len(text) - 1:
        closing = closing[:-1]
    return bool(is_around[text[opening - 1]].all() and is_around[text[closing + 1]].all())
