"""Parsing of Parquet files into columns of clicks."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beam_preprocess.read import LogFile, Part, RawFile
from beam_preprocess.rows import FIRST, SHOWN, Malformed
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError
from hln_tf.data.clicks import is_text, join_clicks, python_value, to_text, to_times, value_type

_ROWS = 1 << 17  # read at a time


def read_schema(file: RawFile) -> pa.Schema | None:
    """Read the columns of a Parquet file; None where it has no row.

    Raises:
      HlnError: The file is damaged or not Parquet.
    """
    if not file.bytes:
        return None
    with _opened(file) as parquet:
        return parquet.schema_arrow if parquet.metadata.num_rows else None


def check_types(file: RawFile, types: pa.Schema, schema: Schema) -> None:
    """Check that the columns have types that can be ids and times.

    Raises:
      HlnError: One has not.
    """
    for column in (schema.key, *schema.item):
        kind = value_type(types.field(column).type)
        if not (is_text(kind) or pa.types.is_integer(kind)):
            raise HlnError(
                f"{file.path} has ids of type {kind} in column {schema.names[column]!r}, "
                "expected text or integers: convert the column"
            )
    kind, time_format = value_type(types.field(schema.time).type), schema.log.time_format
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind):
        return
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        expected = "expected a timestamp, text or a number: convert the column"
    elif time_format == "iso":
        expected = "which is no ISO 8601: set time_format to seconds or milliseconds in the spec"
    else:
        return
    raise HlnError(
        f"{file.path} has times of type {kind} in column {schema.names[schema.time]!r}, {expected}"
    )


def cut(file: LogFile) -> list[Part]:
    """Cut a file into its row groups."""
    with _opened(file) as parquet:
        return [Part(file, group, group + 1) for group in range(parquet.num_row_groups)]


def read(part: Part) -> Iterator[tuple[int, pa.Table, Malformed, int]]:
    """Read the rows of a part.

    Yields:
      Index of the first row, clicks (see `beam_preprocess.rows.parse`), malformed
      rows, and how many bytes of the file that was.

    Raises:
      HlnError: The file is damaged.
    """
    schema = part.file.schema
    with _opened(part.file) as parquet:
        groups = parquet.metadata
        start = sum(groups.row_group(group).num_rows for group in range(part.start))
        batches = parquet.iter_batches(
            batch_size=_ROWS,
            row_groups=list(range(part.start, part.end)),
            columns=[schema.names[column] for column in schema.used],
            use_threads=False,
        )
        while (batch := _next(batches, part.file)) is not None:
            yield start, *parse(batch, schema), part.file.bytes * batch.num_rows // groups.num_rows
            start += batch.num_rows


def parse(batch: pa.RecordBatch, schema: Schema) -> tuple[pa.Table, Malformed]:
    """Parse columns of the file's types into clicks and malformed rows."""
    columns = {index: batch.column(schema.names[index]) for index in schema.used}
    clicks, good = join_clicks(
        to_text(columns[schema.key]),
        to_times(columns[schema.time], schema.log.time_format),
        [to_text(columns[index]) for index in schema.item],
    )
    if good.all():
        return clicks, Malformed()
    wrong, names = np.flatnonzero(~good), batch.schema.names
    first = tuple(
        (row, str({name: python_value(batch.column(name)[row]) for name in names})[:SHOWN])
        for row in wrong[:FIRST].tolist()
    )
    return clicks.filter(pa.array(good)), Malformed(len(wrong), first)


@contextlib.contextmanager
def _opened(file: RawFile) -> Iterator[pq.ParquetFile]:
    with file.open() as raw:
        try:
            parquet = pq.ParquetFile(raw)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(file, error) from None
        yield parquet


def _next(batches: Iterator[pa.RecordBatch], file: RawFile) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: RawFile, error: Exception) -> HlnError:
    reason = str(error).splitlines()[0]
    return HlnError(
        f"{file.path} cannot be read as Parquet ({reason}): "
        "see format in the spec, or fetch the file again if it is damaged"
    )
