"""Reading of raw files in parts: clicks by partition, counts, malformed rows and problems."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess import jsonl, parquet, rows
from beam_preprocess.read import Block, LogFile, Part, cut_text, line_number, read_blocks
from beam_preprocess.rows import Malformed, partition_sessions
from beam_preprocess.settings import Settings, Work
from hln_tf.common.cli import describe_os_error
from hln_tf.common.errors import HlnError
from hln_tf.data.protocol import select_window
from hln_tf.data.times import SECOND

# A position is the file's index above this many bits for the offset in the uncompressed file.
_FILE_BITS = 40


@dataclasses.dataclass(frozen=True)
class BlockCounts:
    """The counts of a block of rows.

    Attributes:
      rows: Number of well-formed rows.
      malformed: Number of malformed rows.
      raw_bytes: Bytes of the file that were read for it.
      days: Days since 1970 with clicks inside the time window, int64 [days];
        empty without a window.
      clicks: Number of clicks on each of `days`, or, without a window, of all
        of them.
    """

    rows: int
    malformed: int
    raw_bytes: int
    days: np.ndarray
    clicks: np.ndarray


@dataclasses.dataclass(frozen=True, order=True)
class MalformedRow:
    """A malformed row, one of the first of its block; they are in order of files and rows.

    Attributes:
      file: Index of the file.
      offset: Offset of the block in the file, in bytes or, in a Parquet file, in
        rows.
      line: Line of the row in the block, from 0.
      text: The row.
    """

    file: int
    offset: int
    line: int
    text: str


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a file so that it cannot be used, in order of files and parts.

    Attributes:
      file: Index of the file.
      start: Beginning of the part.
      message: One sentence that names file and row.
    """

    file: int
    start: int
    message: str


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
) -> Iterator[tuple[int, pa.RecordBatch] | BlockCounts | MalformedRow | Problem]:
    """Read a part of a file.

    A file that cannot be used is a result, not an exception: reading it again, as engines do
    after an exception, would give the same one.

    Yields:
      `(partition, clicks)` with the columns `session` and `item` (dictionaries of
      strings), `time` (int64, microseconds since 1970 UTC) and `position` (int64,
      ascending in the order of rows in the order of files); for each block its
      counts and its first malformed rows; a problem, after which the rest of the
      part is not read.
    """
    try:
        yield from _scan(part, settings, work)
    except HlnError as error:
        yield Problem(part.file.index, part.start, str(error))
    except OSError as error:
        message = f"{part.file.path} cannot be read: {describe_os_error(error)}"
        yield Problem(part.file.index, part.start, message)


def _scan(
    part: Part, settings: Settings, work: Work
) -> Iterator[tuple[int, pa.RecordBatch] | BlockCounts | MalformedRow]:
    for offset, clicks, malformed, raw_bytes in _parsed(part, work.block_bytes):
        check_separator(part.file, clicks, settings.separator)
        start = (part.file.index << _FILE_BITS) + offset
        count = clicks.num_rows
        clicks = clicks.append_column("position", pa.array(np.arange(start, start + count)))
        window = settings.window()
        days = np.zeros(0, np.int64)
        counts = np.array([count])
        if window:
            clicks = select_window(clicks, window)
            days, counts = np.unique(
                clicks["time"].to_numpy() // (86_400 * SECOND), return_counts=True
            )
        for line, text in malformed.first:
            yield MalformedRow(part.file.index, offset, line, text)
        yield BlockCounts(count, malformed.count, raw_bytes, days, counts)
        yield from partition_sessions(clicks, work.partitions)


def _parsed(part: Part, block_bytes: int) -> Iterator[tuple[int, pa.Table, Malformed, int]]:
    """Yield offset, clicks, malformed rows and raw bytes of each block."""
    if part.file.schema.log.format == "parquet":
        yield from parquet.read(part)
        return
    for block in read_blocks(part, block_bytes):
        yield block.offset, *parse_block(block), block.raw_bytes


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
