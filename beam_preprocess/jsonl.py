"""Parsing of JSON lines into columns of clicks."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beam_preprocess.columns import FIRST, SHOWN, Malformed, Parsed, sort_rows
from beam_preprocess.formats import LIST
from beam_preprocess.schema import Schema
from hln_tf.common.text import is_utf_8

# Numbers stay as they are written, so that an id such as 12.0 or one of 20 digits is unchanged.
_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode
_FLAGS = {True: "true", False: "false"}
_ONE: list[Any] = [{}]  # for a line that is one row


class NestedValueError(ValueError):
    """A list or an object in an extra column, whose values are to be single ones.

    Args:
      line: Its line, from 0.
      column: Name of the column.
    """

    def __init__(self, line: int, column: str) -> None:
        super().__init__(line, column)
        self.line, self.column = line, column


def parse(data: bytes, schema: Schema) -> Parsed:
    r"""Parse whole lines, a JSON object each; see `beam_preprocess.rows.parse`.

    Values of objects are texts or numbers, which become texts.

    Raises:
      UnicodeDecodeError: The text is not UTF-8.
      NestedValueError: A column that is an extra one only has a list or an object.
    """
    str(data, "utf-8")
    events = _Name(schema.log.events)
    values: dict[int, list[str | None]] = {column: [] for column in schema.used}
    columns = [(_Name(schema.names[column]), found) for column, found in values.items()]
    booleans = {schema.names[column] for column, _ in schema.where}
    booleans |= {schema.names[column] for column in schema.extra}
    where = {column for column, _ in schema.where}
    extra = {schema.names[column] for column in {*schema.extra} - {*schema.needed} - where}
    # Not `splitlines`, which would also cut at characters that JSON allows in a text.
    lines = data.split(b"\n")
    numbers: list[int] = []  # the line of each row
    broken: list[int] = []  # rows of lines that are no object
    wrong: list[int] = []  # rows with a value that is neither text nor a number
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        row = decode_object(line)
        elements = events.value(row, row) if events.name else _ONE
        if not row or not (elements is None or isinstance(elements, list)):
            broken.append(len(numbers))
            elements = _ONE
        for element in _ONE if elements is None else elements:
            for name, found in columns:
                value = name.value(row, element)
                if not (value is None or isinstance(value, str)):
                    if isinstance(value, bool) and name.name in booleans:
                        value = _FLAGS[value]
                    elif name.name in extra:
                        raise NestedValueError(number, name.name)
                    else:
                        wrong.append(len(numbers))
                        value = None
                found.append(value)
            numbers.append(number)
    arrays = {column: _strings(texts, wrong) for column, texts in values.items()}
    is_broken, is_wrong = np.zeros((2, len(numbers)), bool)
    is_broken[broken] = is_wrong[wrong] = True
    rows = sort_rows(arrays, schema, is_broken, is_wrong)
    malformed = np.flatnonzero(rows.malformed)
    first = tuple(
        (line, lines[line].strip(b"\r").decode()[:SHOWN])
        for line in (numbers[row] for row in malformed[:FIRST])
    )
    return Parsed(rows.clicks, Malformed(len(malformed), first, rows.hint), rows.findings)


def decode_object(line: bytes) -> dict[str, Any]:
    """Decode the object on a line, numbers as text; it is empty where there is none."""
    try:
        row = _decode(line.decode())
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


class _Name:
    """The name of a value in an object, or in an element of its list of events.

    Args:
      name: Such as `item`, `event.item` or `events[].item`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        events, self._is_in_list, rest = name.partition(LIST)
        self._keys: Sequence[str] = (rest.lstrip(".") if self._is_in_list else events).split(".")
        self._last = self._keys[-1]

    def value(self, row: dict[str, Any], element: Any) -> Any:
        """Return the value, or None."""
        if self.name in row:  # also where the name itself has dots
            return row[self.name]
        inner = element if self._is_in_list else row
        for key in self._keys:
            if key:
                inner = inner.get(key) if isinstance(inner, dict) else None
        return inner


def _strings(values: list[str | None], wrong: list[int]) -> pa.StringArray:
    """Convert texts; those that are not text after all become null, and their rows `wrong`."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half of a pair such as \ud800, which is no character
        is_text = [value is None or is_utf_8(value) for value in values]
        wrong += [row for row, good in enumerate(is_text) if not good]
        retained = [value if good else None for value, good in zip(values, is_text, strict=True)]
        return pa.array(retained, pa.string())
