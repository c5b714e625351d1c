"""Where the rows of text end: at line breaks, but not at those inside quotes.

An even number of quotes before a line break means that it lies outside of any
quoted field (RFC 4180; a quote inside a quoted field is doubled).
"""

import numpy as np


def whole_rows(data: bytes, is_quoted: bool) -> int:
    """Length of the whole rows that `data`, which begins with a row, begins with."""
    end = data.rfind(b"\n") + 1
    if not is_quoted:
        return end
    while end and data.count(b'"', 0, end) % 2:
        # Within a quoted field: go back to the last line break before it.
        end = data.rfind(b"\n", 0, data.rfind(b'"', 0, end)) + 1
    return end


def row_starts(data: bytes, is_quoted: bool) -> np.ndarray:
    r"""Where each row begins, int64 [rows]; rows end with `\n`, `\r\n` or `\r`."""
    text = np.frombuffer(data, np.uint8)
    ends = text == ord("\n")
    returns = text == ord("\r")
    ends |= returns & ~np.append(ends[1:], False)
    if is_quoted:
        ends &= np.cumsum(text == ord('"')) % 2 == 0
    starts = np.concatenate([[0], np.flatnonzero(ends) + 1])
    return starts[starts < len(data)]
