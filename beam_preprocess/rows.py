"""Blocks of raw text to columns of clicks, with Arrow."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from beam_preprocess.datasets import JOINT, RowFormat

_TIMESTAMP = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
_SHOWN = 200  # characters of a malformed row that a message shows


@dataclasses.dataclass(frozen=True)
class Malformed:
    """Malformed rows of a block: their number, and line (from 0) and text of the first."""

    count: int = 0
    line: int = 0
    text: str = ""


def parse(data: bytes, rows: RowFormat) -> tuple[pa.Table, Malformed]:
    r"""Parses whole lines.

    Args:
      data: UTF-8 text, lines ended by `\n` or `\r\n`. Blank lines count for nothing.
      rows: The format of the rows.

    Returns:
      The clicks in file order as `session` (string), `time` (int64, seconds
      since 1970 UTC) and `item` (string), and the malformed rows left out.

    Raises:
      UnicodeDecodeError: The text is not UTF-8.
    """
    str(data, "utf-8")
    wrong_lines: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        wrong_lines.append(row.number - 1)
        return "skip"

    names = [str(column) for column in range(rows.columns)]
    read = [str(column) for column in (rows.session, rows.time, *rows.item)]
    columns = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(data) + 1
        ),
        parse_options=csv.ParseOptions(
            delimiter=rows.delimiter,
            quote_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), include_columns=read
        ),
    ).combine_chunks()
    times = parse_times(columns[str(rows.time)].combine_chunks())
    good = times.is_valid()
    for column in (rows.session, *rows.item):
        good = pc.and_(good, pc.not_equal(columns[str(column)].combine_chunks(), ""))
    parts = [columns[str(column)].combine_chunks() for column in rows.item]
    clicks = pa.table(
        {
            "session": columns[str(rows.session)].combine_chunks(),
            "time": times,
            "item": parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, JOINT),
        }
    )
    if not wrong_lines and pc.all(good, min_count=0).as_py():
        return clicks, Malformed()
    lines = data.splitlines()
    row_lines = np.delete(np.arange(len(lines)), wrong_lines)
    wrong_lines.extend(row_lines[~good.to_numpy(zero_copy_only=False)].tolist())
    wrong_lines = sorted(line for line in wrong_lines if lines[line].strip())
    malformed = Malformed()
    if wrong_lines:
        text = lines[wrong_lines[0]].decode()[:_SHOWN]
        malformed = Malformed(len(wrong_lines), wrong_lines[0], text)
    return clicks.filter(good), malformed


def parse_times(text: pa.StringArray) -> pa.Int64Array:
    """Seconds since 1970 UTC of times such as `2014-04-07T10:51:09.277Z`.

    The fraction of a second is dropped. What is no such time becomes null.
    """
    well_formed = pc.match_substring_regex(text, _TIMESTAMP)
    whole = pc.if_else(
        well_formed, pc.utf8_slice_codeunits(text, 0, 19), pa.scalar(None, pa.string())
    )
    try:
        return whole.cast(pa.timestamp("s")).cast(pa.int64())
    except pa.ArrowInvalid:  # 30 February: Arrow does not say in which row
        return pa.array(map(_parse_time, whole), pa.int64())


def _parse_time(text: pa.StringScalar) -> int | None:
    try:
        return text.cast(pa.timestamp("s")).value
    except pa.ArrowInvalid:
        return None


def stable_hash(ids: pa.StringArray) -> np.ndarray:
    """A hash of each id, none of them empty: uint64 [ids], the same on every machine."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    _, ends, characters = ids.buffers()
    offsets = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    text = np.frombuffer(characters, np.uint8)[offsets[0] : offsets[-1]]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    place = np.arange(len(text)) - np.repeat(starts, lengths)
    # A polynomial in the bytes; the odd multiplier makes every byte count, the mix spreads it.
    powers = np.cumprod(np.full(lengths.max(), 0x9E3779B97F4A7C15, np.uint64))
    sums = np.add.reduceat(text.astype(np.uint64) * powers[place], starts)
    return (sums ^ (sums >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)


def partitioned(clicks: pa.Table, partitions: int) -> list[tuple[int, pa.RecordBatch]]:
    """Cuts clicks by session into `(partition, clicks)` of about equal size.

    Ids become dictionaries, each with just the ids of its part.
    """
    sessions, items = (
        clicks[name].combine_chunks().dictionary_encode() for name in ("session", "item")
    )
    of_session = (stable_hash(sessions.dictionary) % np.uint64(partitions)).astype(np.uint16)
    part = of_session[sessions.indices.to_numpy()]
    order = np.argsort(part, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=partitions))])
    codes = {
        "session": (sessions.indices.to_numpy()[order], sessions.dictionary),
        "item": (items.indices.to_numpy()[order], items.dictionary),
    }
    others = {
        name: clicks[name].to_numpy()[order] for name in clicks.column_names if name not in codes
    }
    pieces = []
    for partition in np.flatnonzero(np.diff(bounds)):
        piece = slice(bounds[partition], bounds[partition + 1])
        columns = {name: _narrowed(code[piece], ids) for name, (code, ids) in codes.items()}
        columns |= {name: values[piece] for name, values in others.items()}
        pieces.append((int(partition), pa.record_batch(columns)))
    return pieces


def _narrowed(codes: np.ndarray, ids: pa.StringArray) -> pa.DictionaryArray:
    """Places in `ids` as a dictionary of those ids alone that occur."""
    occurs = np.zeros(len(ids), bool)
    occurs[codes] = True
    places = np.cumsum(occurs, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(
        pa.array(places[codes]), ids.take(pa.array(np.flatnonzero(occurs)))
    )
