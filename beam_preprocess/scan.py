"""The first step: raw files to clicks by partition, and a tally of the rows."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess.datasets import DATASETS, RowFormat
from beam_preprocess.read import Block, Part, RawFile, first_block, line_number, read_blocks
from beam_preprocess.rows import Malformed, parse, partitioned
from beam_preprocess.settings import Settings, Work
from hln_tf.errors import HlnError

# Unpacked bytes that a file may have, so that file and byte make one position.
_FILE_BITS = 40


@dataclasses.dataclass(frozen=True)
class Tally:
    """What a block held.

    Attributes:
      rows: Number of well-formed rows.
      block: Place of the block: index of its file and offset in it.
      malformed: Its malformed rows.
      days: Days since 1970 on which clicks were kept, int64 [days]; empty
        without a time window.
      clicks: Number of clicks kept on each of `days`, or, without a window, of
        all of them.
    """

    rows: int
    block: tuple[int, int]
    malformed: Malformed
    days: np.ndarray
    clicks: np.ndarray


def scan(
    part: Part, settings: Settings, work: Work
) -> Iterator[tuple[int, pa.RecordBatch] | Tally]:
    """Reads a part of a file.

    Yields:
      A `Tally` for each block, and `(partition, clicks)` with the columns
      `session` and `item` (dictionaries of strings), `time` (int64, seconds
      since 1970 UTC) and `position` (int64, ascending in the order of rows in
      the order of files).
    """
    for block in read_blocks(part, work.block_bytes):
        clicks, malformed = parse_block(block, DATASETS[settings.dataset].rows)
        check_separator(block, clicks, settings.separator)
        start = (block.file.index << _FILE_BITS) + block.offset
        rows = clicks.num_rows
        clicks = clicks.append_column("position", pa.array(np.arange(start, start + rows)))
        window = settings.window()
        days = np.zeros(0, np.int64)
        counts = np.array([rows])
        if window:
            first, end = window
            inside = pc.and_(pc.greater_equal(clicks["time"], first), pc.less(clicks["time"], end))
            clicks = clicks.filter(inside)
            days, counts = np.unique(clicks["time"].to_numpy() // 86_400, return_counts=True)
        yield Tally(rows, (block.file.index, block.offset), malformed, days, counts)
        yield from partitioned(clicks, work.partitions)


def parse_block(block: Block, rows: RowFormat) -> tuple[pa.Table, Malformed]:
    """Parses a block; see `rows.parse`.

    Raises:
      HlnError: The text is not UTF-8.
    """
    try:
        return parse(block.data, rows)
    except UnicodeDecodeError as error:
        line = line_number(block.file, block.offset + error.start)
        raise HlnError(
            f"{block.file.path}, line {line} is not UTF-8 text "
            f"(byte 0x{block.data[error.start]:02x}): convert the file to UTF-8"
        ) from None


def check_separator(block: Block, clicks: pa.Table, separator: str) -> None:
    """Refuses ids that could not be told apart in a session written as one string.

    Raises:
      HlnError: An item id contains the separator.
    """
    holds = pc.match_substring(clicks["item"], separator)
    if not pc.any(holds, min_count=0).as_py():
        return
    item = clicks["item"].filter(holds)[0].as_py()
    raise HlnError(
        f"{block.file.path} has the item id {item!r}, which contains the separator "
        f"{separator!r} that joins the ids of a session: choose another with --separator"
    )


def check_beginning(file: RawFile, rows: RowFormat) -> None:
    """Sees whether the first rows of a file are in the format, before any work is done.

    Raises:
      HlnError: None of them is.
    """
    block = first_block(file)
    lines = block.data.splitlines(keepends=True)
    beginning = dataclasses.replace(block, data=b"".join(lines[:100]))
    clicks, malformed = parse_block(beginning, rows)
    if malformed.count and not clicks.num_rows:
        raise HlnError(
            f"{file.path}, line {malformed.line + 1} is {malformed.text!r} and none of the first "
            f"rows is better: {rows.expected}; see --dataset"
        )
