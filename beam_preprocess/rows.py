"""Parsing of delimited text into columns of clicks, with Arrow."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from pyarrow import csv

from beam_preprocess.columns import FIRST, SHOWN, Findings, LongRow, Malformed, Parsed, sort_rows
from beam_preprocess.records import row_starts
from beam_preprocess.schema import Schema
from beam_preprocess.spellings import normalise_ids

_MANY_LINES = 20  # of one row


def parse(data: bytes, schema: Schema) -> Parsed:
    r"""Parse whole rows.

    Args:
      data: UTF-8 text, rows ended by `\n` or `\r\n`. Blank lines are skipped.
      schema: The columns of the rows.

    Raises:
      UnicodeDecodeError: The text is not UTF-8.
    """
    str(data, "utf-8")
    log = schema.log
    wrong_rows: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        """Note the number of a row that Arrow cannot parse, and go on."""
        wrong_rows.append(row.number - 1)
        return "skip"

    names = [str(index) for index in range(len(schema.names))]
    columns = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(data) + 1
        ),
        parse_options=csv.ParseOptions(
            delimiter=log.between,
            quote_char='"' if log.is_quoted else False,
            newlines_in_values=log.is_quoted,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[names[index] for index in schema.used],
        ),
    ).combine_chunks()
    arrays = {index: columns[names[index]].combine_chunks() for index in schema.used}
    rows = sort_rows(arrays, schema)
    is_long = log.is_quoted and data.count(b"\n") > columns.num_rows + len(wrong_rows)
    if not wrong_rows and not rows.malformed.any() and not is_long:
        return Parsed(rows.clicks, Malformed(), rows.findings)
    starts = row_starts(data, log.quoted_between)
    findings = rows.findings + _find_long_rows(data, starts, schema) if is_long else rows.findings
    row_numbers = np.delete(np.arange(len(starts)), wrong_rows)
    wrong_rows.extend(row_numbers[rows.malformed].tolist())
    bounds = np.append(starts, len(data))

    def text(row: int) -> bytes:
        """Return a row without its end."""
        return data[bounds[row] : bounds[row + 1]].strip(b"\r\n")

    wrong_rows = sorted(row for row in wrong_rows if text(row).strip())
    first = tuple(
        (data.count(b"\n", 0, int(starts[row])), text(row).decode()[:SHOWN])
        for row in wrong_rows[:FIRST]
    )
    return Parsed(rows.clicks, Malformed(len(wrong_rows), first, rows.hint), findings)


def _find_long_rows(data: bytes, starts: np.ndarray, schema: Schema) -> Findings:
    """Find rows of many lines, or with a line that has as many columns as a row."""
    text = np.frombuffer(data, np.uint8)
    lines = np.append(0, np.flatnonzero(text == ord("\n")) + 1)
    lines = lines[lines < len(data)]
    row = np.searchsorted(starts, lines, "right") - 1
    delimiters = np.flatnonzero(text == ord(schema.log.between))
    columns = np.diff(np.searchsorted(delimiters, np.append(lines, len(data)))) + 1
    is_like_row = (columns == len(schema.names)) & (lines != starts[row])
    count = np.bincount(row, minlength=len(starts))
    is_long = (count > _MANY_LINES) | (np.bincount(row, is_like_row, len(starts)) > 0)
    if not is_long.any():
        return Findings()
    first = int(np.argmax(is_long))
    line = int(np.searchsorted(lines, starts[first]))
    return Findings(
        long_rows=int(is_long.sum()), first_long_row=LongRow(0, 0, line, int(count[first]))
    )


def stable_hash(ids: pa.StringArray) -> np.ndarray:
    """Hash each id, none of them empty: uint64 [ids], the same on every machine."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    _, ends, characters = ids.buffers()
    offsets = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    text = np.frombuffer(characters, np.uint8)[offsets[0] : offsets[-1]]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    position = np.arange(len(text)) - np.repeat(starts, lengths)
    # A polynomial in the bytes; the odd multiplier makes every byte count, the mix spreads it.
    powers = np.cumprod(np.full(lengths.max(), 0x9E3779B97F4A7C15, np.uint64))
    sums = np.add.reduceat(text.astype(np.uint64) * powers[position], starts)
    return (sums ^ (sums >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)


def partition_sessions(clicks: pa.Table, partitions: int) -> list[tuple[int, pa.RecordBatch]]:
    """Cut clicks by session into `(partition, clicks)` of about equal size.

    Ids become dictionaries, each with just the ids of its partition.
    """
    sessions, items = (
        clicks[name].combine_chunks().dictionary_encode() for name in ("session", "item")
    )
    # Different spellings of an id go to one partition, where they are compared.
    of_session = stable_hash(normalise_ids(sessions.dictionary)) % np.uint64(partitions)
    of_session = of_session.astype(np.uint16)
    of_click = of_session[sessions.indices.to_numpy()]
    order = np.argsort(of_click, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(of_click, minlength=partitions))])
    encoded = {
        "session": (sessions.indices.to_numpy()[order], sessions.dictionary),
        "item": (items.indices.to_numpy()[order], items.dictionary),
    }
    others = {
        name: clicks[name].take(order).combine_chunks()
        for name in clicks.column_names
        if name not in encoded
    }
    pieces = []
    for partition in np.flatnonzero(np.diff(bounds)):
        piece = slice(bounds[partition], bounds[partition + 1])
        columns = {name: _narrowed(indices[piece], ids) for name, (indices, ids) in encoded.items()}
        columns |= {name: values[piece] for name, values in others.items()}
        pieces.append((int(partition), pa.record_batch(columns)))
    return pieces


def merge_partition(pieces: Iterable[pa.RecordBatch]) -> pa.Table:
    """Merge the pieces of a partition in file order, with one dictionary for each column of ids.

    Positions ascend within a piece, and those of two pieces do not overlap.
    """
    ordered = sorted(pieces, key=lambda piece: piece["position"][0].as_py())
    return pa.Table.from_batches(ordered).unify_dictionaries().combine_chunks()


def _narrowed(indices: np.ndarray, ids: pa.StringArray) -> pa.DictionaryArray:
    """Encode indices into `ids` with a dictionary of just those ids that occur."""
    occurs = np.zeros(len(ids), bool)
    occurs[indices] = True
    narrowed = np.cumsum(occurs, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(
        pa.array(narrowed[indices]), ids.take(pa.array(np.flatnonzero(occurs)))
    )
