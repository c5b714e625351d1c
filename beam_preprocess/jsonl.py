"""Parsing of JSON lines into columns of clicks."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from beam_preprocess.rows import FIRST, SHOWN, Malformed
from beam_preprocess.schema import Schema
from hln_tf.common.text import is_utf_8
from hln_tf.data.clicks import join_clicks
from hln_tf.data.times import parse_times

# Numbers stay as they are written, so that an id such as 12.0 or one of 20 digits is unchanged.
_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode


def parse(data: bytes, schema: Schema) -> tuple[pa.Table, Malformed]:
    r"""Parse whole lines, a JSON object each; see `beam_preprocess.rows.parse`.

    Values of objects are texts or numbers, which become texts.

    Raises:
      UnicodeDecodeError: The text is not UTF-8.
    """
    str(data, "utf-8")
    names = [schema.names[column] for column in schema.used]
    values: list[list[str | None]] = [[] for _ in names]
    # Not `splitlines`, which would also cut at characters that JSON allows in a text.
    lines = data.split(b"\n")
    numbers = [number for number, line in enumerate(lines) if line.strip()]
    for number in numbers:
        row = decode_object(lines[number])
        for name, found in zip(names, values, strict=True):
            value = row.get(name)
            found.append(value if isinstance(value, str) else None)
    arrays = {column: _strings(texts) for column, texts in zip(schema.used, values, strict=True)}
    clicks, good = join_clicks(
        arrays[schema.key],
        parse_times(arrays[schema.time], schema.log.time_format),
        [arrays[column] for column in schema.item],
    )
    if good.all():
        return clicks, Malformed()
    wrong = np.flatnonzero(~good)
    first = tuple(
        (line, lines[line].strip(b"\r").decode()[:SHOWN])
        for line in (numbers[row] for row in wrong[:FIRST])
    )
    return clicks.filter(pa.array(good)), Malformed(len(wrong), first)


def decode_object(line: bytes) -> dict[str, Any]:
    """Decode the object on a line, numbers as text; it is empty where there is none."""
    try:
        row = _decode(line.decode())
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _strings(values: list[str | None]) -> pa.StringArray:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half of a pair such as \ud800, which is no character
        return pa.array([None if v is None or not is_utf_8(v) else v for v in values], pa.string())
