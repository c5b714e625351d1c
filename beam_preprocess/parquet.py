"""Parsing of Parquet files into columns of clicks."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_preprocess.columns import FIRST, SHOWN, Malformed, Parsed, ParsedBlock, sort_rows
from beam_preprocess.formats import LIST
from beam_preprocess.nested import root
from beam_preprocess.read import LogFile, Part, RawFile
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError
from hln_tf.data.clicks import (
    decode,
    flags,
    is_text,
    is_value,
    python_value,
    to_text,
    value_type,
)
from hln_tf.data.time_patterns import UNITS

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


def check_types(file: RawFile, types: Mapping[str, pa.DataType], schema: Schema) -> None:
    """Check that the columns have types that can be ids and times.

    Raises:
      HlnError: One has not.
    """
    for name in (schema.names[column] for column in (schema.key, *schema.item)):
        kind = value_type(types[name])
        if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise HlnError(
                f"{file.path} has ids of type {kind} in column {name!r}, "
                "expected text or whole numbers: convert the column"
            )
    others = [column for column, _ in schema.where]
    others += [column for column in (schema.added, schema.rank) if column is not None]
    for name in (schema.names[column] for column in others):
        kind = value_type(types[name])
        if not (is_text(kind) or pa.types.is_primitive(kind)) or pa.types.is_temporal(kind):
            raise HlnError(
                f"{file.path} has values of type {kind} in column {name!r}, "
                "expected text or numbers: convert the column"
            )
    for name in (schema.names[column] for column in schema.extra):
        kind = value_type(types[name])
        if not is_value(kind):
            raise HlnError(
                f"{file.path} has values of type {kind} in column {name!r}, expected text, numbers "
                f"or times: convert the column, or leave it out of `extra_columns`"
            )
    kind, log = value_type(types[schema.names[schema.time]]), schema.log
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind):
        return
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        expected = "expected a timestamp, text or a number: convert the column"
    elif log.time_format not in UNITS and not log.time_pattern:
        expected = f"expected text: set time_format to one of {', '.join(UNITS)} in the spec"
    else:
        return
    raise HlnError(
        f"{file.path} has times of type {kind} in column {schema.names[schema.time]!r}, {expected}"
    )


def cut(file: LogFile) -> list[Part]:
    """Cut a file into its row groups."""
    with _opened(file) as parquet:
        return [Part(file, group, group + 1) for group in range(parquet.num_row_groups)]


def read(part: Part) -> Iterator[ParsedBlock]:
    """Read the rows of a part in blocks.

    Raises:
      HlnError: The file is damaged.
    """
    schema = part.file.schema
    with _opened(part.file) as parquet:
        metadata = parquet.metadata
        before = [metadata.row_group(group) for group in range(part.start)]
        start = position = sum(group.num_rows for group in before)
        if schema.log.events:
            # Not fewer values than events, of which a row may have many.
            leaf = _first_leaf(metadata, schema.log.events)
            position = sum(group.column(leaf).num_values for group in before)
        batches = parquet.iter_batches(
            batch_size=_ROWS,
            row_groups=list(range(part.start, part.end)),
            columns=_stored(schema, parquet.schema_arrow),
            use_threads=False,
        )
        while (batch := _next(batches, part.file)) is not None:
            parsed = parse(batch, schema)
            raw_bytes = part.file.bytes * batch.num_rows // metadata.num_rows
            yield ParsedBlock(start, position, parsed, raw_bytes)
            start += batch.num_rows
            position += parsed.clicks.num_rows if schema.log.events else batch.num_rows


def parse(batch: pa.RecordBatch, schema: Schema) -> Parsed:
    """Parse columns of the file's types into clicks and malformed rows."""
    columns = {index: _column(batch, schema.names[index]) for index in schema.used}
    numbers = np.arange(batch.num_rows)  # the row of the file that each row is of
    if schema.log.events:
        parents = pc.list_parent_indices(_column(batch, schema.log.events))
        numbers = parents.to_numpy()
        columns = {
            index: column if LIST in schema.names[index] else column.take(parents)
            for index, column in columns.items()
        }
    ids = {schema.key, *schema.item}
    texts = {
        index: to_text(column) if index in ids else _as_read(column, index == schema.time)
        for index, column in columns.items()
    }
    is_wrong = np.zeros(len(numbers), bool)
    for index in ids:  # floats that are no whole numbers
        absent = columns[index].is_null(nan_is_null=True)
        is_wrong |= flags(pc.and_not(texts[index].is_null(), absent))
    rows = sort_rows(texts, schema, is_wrong=is_wrong, extra=columns)
    malformed = np.flatnonzero(rows.malformed)
    first = tuple(
        (int(numbers[row]), _shown({schema.names[i]: columns[i][row] for i in schema.used}))
        for row in malformed[:FIRST].tolist()
    )
    return Parsed(rows.clicks, Malformed(len(malformed), first, rows.hint), rows.findings)


def _as_read(column: pa.Array, is_time: bool) -> pa.Array:
    """Convert values to text, but for times of other types."""
    column = decode(column)
    return column if is_time and not is_text(column.type) else column.cast(pa.string())


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column by its name; see `beam_preprocess.nested.type_names`."""
    if name in batch.schema.names:
        return batch.column(name)
    outer, is_in_list, rest = name.partition(LIST)
    outermost, *keys = outer.split(".")
    column = batch.column(outermost)
    if keys:
        column = pc.struct_field(column, keys)
    if is_in_list:
        column = pc.list_flatten(column)
        keys = rest.split(".")[1:]
        column = pc.struct_field(column, keys) if keys else column
    return column


def _stored(schema: Schema, stored: pa.Schema) -> list[str]:
    """Return the names of the stored columns that hold the used ones."""
    names = (schema.names[column] for column in schema.used)
    return list(dict.fromkeys(name if name in stored.names else root(name) for name in names))


def _first_leaf(metadata: pq.FileMetaData, events: str) -> int:
    paths = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
    return next(leaf for leaf, path in enumerate(paths) if path.startswith(f"{events}."))


def _shown(row: dict[str, pa.Scalar]) -> str:
    return str({name: python_value(value) for name, value in row.items()})[:SHOWN]


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
