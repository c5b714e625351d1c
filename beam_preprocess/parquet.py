"""Parsing of Parquet files into columns of clicks."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_preprocess import progress
from beam_preprocess.read import LogFile, Part, RawFile
from beam_preprocess.rows import SHOWN, Malformed, join_clicks
from beam_preprocess.schema import Schema
from beam_preprocess.times import from_numbers, parse_times
from hln_tf.common.errors import HlnError

_ROWS = 1 << 17  # read at a time


def read_schema(file: RawFile) -> pa.Schema:
    """Read the columns of a Parquet file.

    Raises:
      HlnError: The file is damaged or not Parquet.
    """
    with _opened(file) as parquet:
        if not parquet.metadata.num_rows:
            raise HlnError(f"{file.path} is empty: expected a raw log of at least one row")
        return parquet.schema_arrow


def check_types(file: RawFile, types: pa.Schema, schema: Schema) -> None:
    """Check that the columns have types that can be ids and times.

    Raises:
      HlnError: One has not.
    """
    for column in (schema.key, *schema.item):
        kind = _value_type(types.field(column).type)
        if not (_is_text(kind) or pa.types.is_integer(kind)):
            raise HlnError(
                f"{file.path} has ids of type {kind} in column {schema.names[column]!r}, "
                "expected text or integers: convert the column"
            )
    kind, time_format = _value_type(types.field(schema.time).type), schema.log.time_format
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or _is_text(kind):
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


def read(part: Part) -> Iterator[tuple[int, pa.Table, Malformed]]:
    """Yield index of the first row, clicks (see `beam_preprocess.rows.parse`), malformed rows.

    Raises:
      HlnError: The file is damaged.
    """
    schema = part.file.schema
    with _opened(part.file) as parquet:
        groups = parquet.metadata.num_row_groups
        start = sum(parquet.metadata.row_group(group).num_rows for group in range(part.start))
        batches = parquet.iter_batches(
            batch_size=_ROWS,
            row_groups=list(range(part.start, part.end)),
            columns=[schema.names[column] for column in schema.used],
            use_threads=False,
        )
        while (batch := _next(batches, part.file)) is not None:
            yield start, *parse(batch, schema)
            start += batch.num_rows
        progress.advance(part.file.bytes * (part.end - part.start) // groups)


def parse(batch: pa.RecordBatch, schema: Schema) -> tuple[pa.Table, Malformed]:
    """Parse columns of the file's types into clicks and malformed rows."""
    columns = {index: batch.column(schema.names[index]) for index in schema.used}
    clicks, good = join_clicks(
        _text(columns[schema.key]),
        _times(columns[schema.time], schema.log.time_format),
        [_text(columns[index]) for index in schema.item],
    )
    if good.all():
        return clicks, Malformed()
    wrong = np.flatnonzero(~good)
    text = str({name: batch.column(name)[int(wrong[0])].as_py() for name in batch.schema.names})
    return clicks.filter(pa.array(good)), Malformed(len(wrong), int(wrong[0]), text[:SHOWN])


def _times(column: pa.Array, time_format: str) -> pa.Int64Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            nanoseconds = column.cast(pa.int64()).fill_null(0).to_numpy()
            return pc.if_else(column.is_valid(), nanoseconds // 1000, pa.scalar(None, pa.int64()))
        return column.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
    if _is_text(kind):
        return parse_times(column.cast(pa.string()), time_format)
    return from_numbers(column, time_format)


def _text(column: pa.Array) -> pa.StringArray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string())


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _opened(file: RawFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(file, error) from None


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
