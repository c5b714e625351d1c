"""The first step: raw files to clicks by partition, and counts of the rows."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess import jsonl, parquet, progress, rows
from beam_preprocess.read import Block, LogFile, Part, cut_text, line_number, read_blocks
from beam_preprocess.rows import Malformed, partition_sessions
from beam_preprocess.settings import Settings, Work
from hln_tf.common.errors import HlnError
from hln_tf.data.protocol import select_window
from hln_tf.data.times import SECOND

# A position is the file's index above this many bits for the offset in the uncompressed file.
_FILE_BITS = 40


@dataclasses.dataclass(frozen=True)
class Tally:
    """The counts of a block of rows.

    Attributes:
      rows: Number of well-formed rows.
      block: Index of its file and offset in it, in bytes or, in a Parquet file,
        in rows.
      malformed: Its malformed rows.
      days: Days since 1970 with clicks inside the time window, int64 [days];
        empty without a window.
      clicks: Number of clicks on each of `days`, or, without a window, of all
        of them.
    """

    rows: int
    block: tuple[int, int]
    malformed: Malformed
    days: np.ndarray
    clicks: np.ndarray


def cut(files: Sequence[LogFile], block_bytes: int) -> list[Part]:
    """Cut files into parts that are read independently.

    Raises:
      HlnError: A file is damaged.
    """
    parts = []
    for file in files:
        is_parquet = file.schema.log.format == "parquet"
        parts += parquet.cut(file) if is_parquet else cut_text(file, block_bytes)
    return parts


def scan(
    part: Part, settings: Settings, work: Work
) -> Iterator[tuple[int, pa.RecordBatch] | Tally]:
    """Read a part of a file.

    Yields:
      A `Tally` for each block, and `(partition, clicks)` with the columns
      `session` and `item` (dictionaries of strings), `time` (int64,
      microseconds since 1970 UTC) and `position` (int64, ascending in the order of rows in
      the order of files).
    """
    for offset, clicks, malformed in _parsed(part, work.block_bytes):
        check_separator(part.file, clicks, settings.separator)
        start = (part.file.index << _FILE_BITS) + offset
        count = clicks.num_rows
        progress.count_clicks(count)
        clicks = clicks.append_column("position", pa.array(np.arange(start, start + count)))
        window = settings.window()
        days = np.zeros(0, np.int64)
        counts = np.array([count])
        if window:
            clicks = select_window(clicks, window)
            days, counts = np.unique(
                clicks["time"].to_numpy() // (86_400 * SECOND), return_counts=True
            )
        yield Tally(count, (part.file.index, offset), malformed, days, counts)
        yield from partition_sessions(clicks, work.partitions)


def _parsed(part: Part, block_bytes: int) -> Iterator[tuple[int, pa.Table, Malformed]]:
    """Yield offset, clicks and malformed rows of each block."""
    if part.file.schema.log.format == "parquet":
        yield from parquet.read(part)
        return
    for block in read_blocks(part, block_bytes):
        yield block.offset, *parse_block(block)


def parse_block(block: Block) -> tuple[pa.Table, Malformed]:
    """Parse a block of text; see `rows.parse`.

    Raises:
      HlnError: The text is not UTF-8.
    """
    schema = block.file.schema
    try:
        return (jsonl if schema.log.format == "jsonl" else rows).parse(block.data, schema)
    except UnicodeDecodeError as error:
        line = line_number(block.file, block.offset + error.start)
        raise HlnError(
            f"{block.file.path}, line {line} is not UTF-8 text "
            f"(byte 0x{block.data[error.start]:02x}): convert the file to UTF-8"
        ) from None


def check_separator(file: LogFile, clicks: pa.Table, separator: str) -> None:
    """Check that item ids can be separated in a session written as one string.

    Raises:
      HlnError: An item id contains the separator.
    """
    contains = pc.match_substring(clicks["item"], separator)
    if not pc.any(contains, min_count=0).as_py():
        return
    item = clicks["item"].filter(contains)[0].as_py()
    raise HlnError(
        f"{file.path} has the item id {item!r}, which contains the separator "
        f"{separator!r} that joins the ids of a session: choose another with --separator"
    )
