"""Reading of raw files in parts: clicks, and counts with malformed rows and problems."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess import jsonl, parquet, rows
from beam_preprocess.columns import FIRST, Findings, Parsed, ParsedBlock
from beam_preprocess.read import Block, LogFile, Part, cut_text, line_number, read_blocks
from beam_preprocess.settings import Settings, Work
from hln_tf.common.cli import describe_os_error
from hln_tf.common.errors import HlnError
from hln_tf.data.protocol import select_window
from hln_tf.data.session_columns import PART_BITS
from hln_tf.data.times import SECOND

# A position is the file's part and index above this many bits for the offset in its content.
_FILE_BITS = 40


@dataclasses.dataclass(frozen=True, order=True)
class MalformedRow:
    """A malformed row; rows are in order of files and lines.

    Attributes:
      file: Index of the file.
      offset: Offset of the block in the file, in bytes or, in a Parquet file, in
        rows.
      line: Line of the row in the block, from 0.
      text: The row.
      hint: What seems wrong with its time; may be empty.
    """

    file: int
    offset: int
    line: int
    text: str
    hint: str = ""


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """A reason why a file cannot be used; problems are in order of files and parts.

    Attributes:
      file: Index of the file.
      start: Beginning of the part.
      message: One sentence that names file and row.
    """

    file: int
    start: int
    message: str


@dataclasses.dataclass(frozen=True)
class RowCounts:
    """The counts of a block of rows, or of several.

    Attributes:
      rows: Number of well-formed rows.
      malformed: Number of malformed rows.
      clicks: Number of clicks inside the time window.
      days: Clicks inside the time window by day since 1970; empty without a window.
      first_malformed: The first malformed rows.
      problem: The first problem.
      findings: Rows that were left out, and the doubtful ones.
    """

    rows: int = 0
    malformed: int = 0
    clicks: int = 0
    days: Mapping[int, int] = dataclasses.field(default_factory=dict)
    first_malformed: tuple[MalformedRow, ...] = ()
    problem: Problem | None = None
    findings: Findings = dataclasses.field(default_factory=Findings)

    @property
    def read(self) -> int:
        """Number of rows."""
        return self.rows + self.malformed + self.findings.left_out


def add_row_counts(parts: Sequence[RowCounts]) -> RowCounts:
    """Add up the counts of blocks."""
    days: collections.Counter[int] = collections.Counter()
    for part in parts:
        days.update(part.days)
    malformed = sorted(row for part in parts for row in part.first_malformed)
    return RowCounts(
        rows=sum(part.rows for part in parts),
        malformed=sum(part.malformed for part in parts),
        clicks=sum(part.clicks for part in parts),
        days=days,
        first_malformed=tuple(malformed[:FIRST]),
        problem=min((part.problem for part in parts if part.problem), default=None),
        findings=sum((part.findings for part in parts), Findings()),
    )


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
) -> Iterator[tuple[RowCounts, int, pa.Table | None]]:
    """Read a part of a file in blocks.

    A file that cannot be used is a result, not an exception: reading it again, as engines do
    after an exception, would give the same one.

    Yields:
      For each block its counts, how many bytes of the file it was, and its clicks
      inside the time window in the columns `session` and `item` (string), `time`
      (int64, microseconds since 1970 UTC) and `position` (int64, ascending in the
      order of rows in the order of files), and as `Parsed` has them. The block after
      a problem is the last one and has no clicks.
    """
    try:
        yield from _scan(part, settings, work)
    except (HlnError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError):
            message = f"{part.file.path} cannot be read: {describe_os_error(error)}"
        yield RowCounts(problem=Problem(part.file.index, part.start, message)), 0, None


def _scan(
    part: Part, settings: Settings, work: Work
) -> Iterator[tuple[RowCounts, int, pa.Table | None]]:
    for block in parse_part(part, work.block_bytes):
        clicks, malformed = block.parsed.clicks, block.parsed.malformed
        check_separator(part.file, clicks, settings.separator)
        start = (part.file.part << PART_BITS) + (part.file.index << _FILE_BITS) + block.position
        rows = clicks.num_rows
        clicks = clicks.append_column("position", pa.array(np.arange(start, start + rows)))
        window = settings.window()
        days = {}
        if window:
            clicks = select_window(clicks, window)
            day, count = np.unique(
                clicks["time"].to_numpy() // (86_400 * SECOND), return_counts=True
            )
            days = dict(zip(day.tolist(), count.tolist(), strict=True))
        first = tuple(
            MalformedRow(part.file.index, block.offset, *row, malformed.hint * (not number))
            for number, row in enumerate(malformed.first)
        )
        findings = block.parsed.findings.located(part.file.index, block.offset)
        yield (
            RowCounts(rows, malformed.count, clicks.num_rows, days, first, findings=findings),
            block.raw_bytes,
            clicks,
        )


def parse_part(part: Part, block_bytes: int) -> Iterator[ParsedBlock]:
    """Read and parse a part in blocks."""
    if part.file.schema.log.format == "parquet":
        yield from parquet.read(part)
        return
    for block in read_blocks(part, block_bytes):
        yield ParsedBlock(block.offset, block.offset, parse_block(block), block.raw_bytes)


def parse_block(block: Block) -> Parsed:
    """Parse a block of text; see `rows.parse`.

    Raises:
      HlnError: The text is not UTF-8, or a value is none of an extra column.
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
    except jsonl.NestedValueError as error:
        line = line_number(block.file, block.offset) + error.line
        raise HlnError(
            f"{block.file.path}, line {line} has a list or an object in column {error.column!r}, "
            f"expected text, a number or a boolean: convert the column, or leave it out of "
            f"`extra_columns`"
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
        f"{separator!r} that joins the ids of a session: choose another with --separator, or, if "
        f"{item!r} means that there is none, name it with --missing"
    )
