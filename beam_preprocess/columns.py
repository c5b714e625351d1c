"""Columns of a log as clicks, and the rows that are none."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess.schema import Schema
from hln_tf.data.clicks import flags, join_clicks, matching, python_value, to_values
from hln_tf.data.layout import EXTRA_PREFIX
from hln_tf.data.time_columns import explain_time, read_times
from hln_tf.data.time_patterns import TimeFormat
from hln_tf.data.times import plausible_times

SHOWN = 200  # characters of a malformed row that a message shows
FIRST = 5  # malformed rows that are reported


@dataclasses.dataclass(frozen=True)
class Malformed:
    """Malformed rows of a block.

    Attributes:
      count: Their number.
      first: Line (from 0) and text of the first few.
      hint: What seems wrong with the time of the first one; empty where that is right.
    """

    count: int = 0
    first: tuple[tuple[int, str], ...] = ()
    hint: str = ""


@dataclasses.dataclass(frozen=True, order=True)
class LongRow:
    """A row of several lines, some of which may be rows that a stray quote has swallowed.

    Attributes:
      file: Index of the file.
      offset: Offset of its block in the file.
      line: Its first line in the block, from 0.
      lines: Number of its lines.
    """

    file: int
    offset: int
    line: int
    lines: int


@dataclasses.dataclass(frozen=True)
class Findings:
    """The rows that were left out, and the doubtful ones.

    Attributes:
      skipped: Number of rows for which `where` is not true.
      values: The first values that its columns have, by column, of blocks without a row
        for which it is.
      missing: Number of rows without a value that they need, by column.
      ambiguous: Number of times that their time zone has twice.
      first_ambiguous: The first of these, microseconds since 1970 UTC; 0: none.
      long_rows: Number of rows with a quoted field of many lines.
      first_long_row: The first of these.
    """

    skipped: int = 0
    values: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ambiguous: int = 0
    first_ambiguous: int = 0
    long_rows: int = 0
    first_long_row: LongRow | None = None

    @property
    def left_out(self) -> int:
        """Number of rows that were left out."""
        return self.skipped + sum(self.missing.values())

    def description(self) -> dict[str, Any]:
        """Return the counts as stats.json has them."""
        return {
            "missing_values": dict(self.missing),
            "ambiguous_times": self.ambiguous,
            "rows_of_many_lines": self.long_rows,
        }

    def located(self, file: int, offset: int) -> "Findings":
        """Return the findings of a block with the place of the block."""
        if self.first_long_row is None:
            return self
        first = dataclasses.replace(self.first_long_row, file=file, offset=offset)
        return dataclasses.replace(self, first_long_row=first)

    def __add__(self, other: "Findings") -> "Findings":
        names = sorted({*self.missing, *other.missing})
        columns = sorted({*self.values, *other.values})
        first = [each.first_ambiguous for each in (self, other) if each.ambiguous]
        return Findings(
            self.skipped + other.skipped,
            {
                name: tuple(
                    sorted({*self.values.get(name, ()), *other.values.get(name, ())})[:FIRST]
                )
                for name in columns
            },
            {name: self.missing.get(name, 0) + other.missing.get(name, 0) for name in names},
            self.ambiguous + other.ambiguous,
            min(first, default=0),
            self.long_rows + other.long_rows,
            min(filter(None, (self.first_long_row, other.first_long_row)), default=None),
        )


@dataclasses.dataclass(frozen=True)
class Parsed:
    """The content of a block of rows.

    Attributes:
      clicks: The clicks in file order as `session` (string), `time` (int64,
        microseconds since 1970 UTC), `item` (string), where the format has one,
        `rank` (int64), and the extra columns (large_string).
      malformed: The malformed rows left out.
      findings: Other rows that were left out, and the doubtful ones.
    """

    clicks: pa.Table
    malformed: Malformed
    findings: Findings


@dataclasses.dataclass(frozen=True)
class ParsedBlock:
    """A block of a file.

    Attributes:
      offset: Where it begins: its first byte in the uncompressed file or, in a Parquet
        file, its first row.
      position: Position of its first click in the file, at least the number of clicks
        before it.
      parsed: Its content.
      raw_bytes: Bytes of the file that were read for it.
    """

    offset: int
    position: int
    parsed: Parsed
    raw_bytes: int


@dataclasses.dataclass(frozen=True)
class Sorted:
    """Rows sorted into clicks and others.

    Attributes:
      clicks: As in `Parsed`.
      malformed: Flags the malformed rows, bool [rows].
      hint: As in `Malformed`.
      findings: As in `Parsed`.
    """

    clicks: pa.Table
    malformed: np.ndarray
    hint: str
    findings: Findings


def sort_rows(
    columns: Mapping[int, pa.Array],
    schema: Schema,
    is_broken: np.ndarray | bool = False,
    is_wrong: np.ndarray | bool = False,
    extra: Mapping[int, pa.Array] | None = None,
) -> Sorted:
    """Sort rows into clicks, malformed rows, and rows that are left out.

    Args:
      columns: The columns that the schema uses, as text (`pa.string()`); times may be
        of any other type that `read_times` takes.
      schema: The columns of the rows.
      is_broken: Flags rows that are malformed whatever their values, bool [rows].
      is_wrong: Flags rows with a value of a wrong type, null in `columns`, which are
        malformed unless they are left out, bool [rows].
      extra: The extra columns, where their types are others than in `columns`.
    """
    is_row = np.ones(len(columns[schema.key]), bool) & ~np.asarray(is_broken)
    selected = is_row.copy()
    for index, values in schema.where:
        selected &= flags(pc.is_in(columns[index], pa.array(values)))
    skipped = int(is_row.sum()) - int(selected.sum())
    found: dict[str, tuple[str, ...]] = {}
    if skipped and not selected.any():
        found = {
            schema.names[index]: tuple(
                sorted(pc.unique(columns[index].drop_null()).to_pylist())[:FIRST]
            )
            for index, _ in schema.where
        }
    added = None if schema.added is None else columns[schema.added]
    times = read_times(columns[schema.time], schema.log.times, added)
    plausible = plausible_times(times.values)
    missing: dict[str, int] = {}
    for index in schema.needed:
        if index == schema.time and not plausible.null_count:
            continue
        absent = selected & _is_missing(columns[index], schema.log.missing) & ~np.asarray(is_wrong)
        if absent.any():
            missing[schema.names[index]] = int(absent.sum())
            selected &= ~absent
    items = [columns[index] for index in schema.item]
    clicks, good = join_clicks(columns[schema.key], plausible, items)
    if schema.rank is not None:
        ranks = _parse_ranks(columns[schema.rank])
        clicks = clicks.append_column("rank", ranks)
        good = good & flags(ranks.is_valid())
    for name, index in zip(schema.log.extra, schema.extra, strict=True):
        values = to_values((extra or columns)[index], schema.log.missing)
        clicks = clicks.append_column(f"{EXTRA_PREFIX}{name}", values)
    malformed = (selected & ~good) | ~is_row
    retained = selected & good
    ambiguous = retained & times.ambiguous
    if not retained.all():
        clicks = clicks.filter(pa.array(retained))
    return Sorted(
        clicks,
        malformed,
        _hint(columns[schema.time], malformed & is_row, schema),
        Findings(skipped, found, missing, int(ambiguous.sum()), _first(times.values, ambiguous)),
    )


def _parse_ranks(text: pa.StringArray) -> pa.Int64Array:
    """Parse whole numbers; null: no such number."""
    return matching(text, r"^-?\d{1,18}$").cast(pa.int64())


def _is_missing(column: pa.Array, missing: tuple[str, ...]) -> np.ndarray:
    """Flag the rows that have no value."""
    absent = pc.is_null(column)
    if missing and pa.types.is_string(column.type):
        absent = pc.or_(absent, pc.is_in(column, pa.array(missing)))
    return flags(absent)


def _hint(times: pa.Array, malformed: np.ndarray, schema: Schema) -> str:
    if not malformed.any():
        return ""
    value = python_value(times[int(np.argmax(malformed))])
    is_typed = pa.types.is_timestamp(times.type) or pa.types.is_date(times.type)
    return explain_time(value, TimeFormat() if is_typed else schema.log.times)


def _first(times: pa.Int64Array, chosen: np.ndarray) -> int:
    return times[int(np.argmax(chosen))].as_py() if chosen.any() else 0
