"""The boundaries of rows of text: line breaks that are not inside quotes.

An even number of quotes before a line break means that it is outside of any
quoted field (RFC 4180; a quote inside a quoted field is doubled).
"""

import numpy as np


def whole_rows(data: bytes, is_quoted: bool) -> int:
    """Measure the whole rows at the beginning of `data`, which begins with a row, in bytes."""
    end = data.rfind(b"\n") + 1
    if not is_quoted:
        return end
    while end and data.count(b'"', 0, end) % 2:
        # Within a quoted field: go back to the last line break before it.
        end = data.rfind(b"\n", 0, data.rfind(b'"', 0, end)) + 1
    return end


def row_starts(data: bytes, is_quoted: bool) -> np.ndarray:
    r"""Find where each row begins, int64 [rows]; rows end with `\n`, `\r\n` or `\r`."""
    text = np.frombuffer(data, np.uint8)
    ends = text == ord("\n")
    returns = text == ord("\r")
    ends |= returns & ~np.append(ends[1:], False)
    if is_quoted:
        ends &= np.cumsum(text == ord('"')) % 2 == 0
    starts = np.concatenate([[0], np.flatnonzero(ends) + 1])
    return starts[starts < len(data)]
