"""Detection of a raw file's columns from its beginning, with a check of its first rows."""

import csv
import dataclasses
from collections.abc import Sequence

from beam_preprocess import parquet
from beam_preprocess.columns import SHOWN
from beam_preprocess.formats import LogFormat
from beam_preprocess.inputs import describe_files
from beam_preprocess.jsonl import decode_object
from beam_preprocess.nested import object_names, type_names
from beam_preprocess.read import Block, LogFile, RawFile, RawLog, first_rows
from beam_preprocess.records import row_starts
from beam_preprocess.scan import parse_block
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError

_ROWS = 100  # parsed before any work is done
_LINES = 1000  # whose JSON objects name the columns
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_MAGIC = b"PAR1"


class EmptyFileError(HlnError):
    """A file has no row."""


def open_logs(files: Sequence[RawFile], log: LogFormat) -> RawLog:
    """Open all files of a log; those without a row are left out unless all are.

    Raises:
      HlnError: A file is in another format, or no file has a row.
    """
    opened: list[LogFile] = []
    empty: list[str] = []
    for file in files:
        try:
            opened.append(open_log(dataclasses.replace(file, index=len(opened)), log))
        except EmptyFileError:
            if len(files) == 1:
                raise
            empty.append(file.path)
    if not opened:
        raise HlnError(
            f"none of the {len(files)} files of the input has a row ({describe_files(empty)}): "
            "expected a raw log of at least one row"
        )
    return RawLog(tuple(opened), tuple(empty))


def open_log(file: RawFile, log: LogFormat) -> LogFile:
    """Find the columns of a file and check that its first rows are in the format.

    Raises:
      EmptyFileError: It has no row.
      HlnError: A column is missing, or none of the first rows is in the format.
    """
    if log.format == "parquet":
        types = parquet.read_schema(file)
        if types is None:
            raise EmptyFileError(f"{file.path} is empty: expected a raw log of at least one row")
        types = type_names(types)
        schema = Schema.find(log, list(types), file.path)
        parquet.check_types(file, types, schema)
        return _log_file(file, schema)
    with file.open() as raw:
        if raw.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            raise HlnError(f"{file.path} is a Parquet file: set format: parquet in the spec")
    data = first_rows(file, log.quoted_between)
    mark = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    data = data[mark:]
    if not data.strip():
        raise EmptyFileError(f"{file.path} is empty: expected a raw log of at least one row")
    starts = [*row_starts(data, log.quoted_between)[: _ROWS + 2].tolist(), len(data)]
    first = data[: starts[1]]
    names = _object_names(file, log, data) if log.format == "jsonl" else _names(file, log, first)
    body = starts[1] if log.is_separated and log.header else 0
    found = _log_file(file, Schema.find(log, names, file.path), mark + body)
    if body:
        _check_header(found, first)
    rows = data[body : starts[-2] if len(starts) > _ROWS + 2 else None]
    if not rows.strip():
        raise EmptyFileError(f"{file.path} is empty but for its header: expected at least one row")
    parsed = parse_block(Block(found, found.body, rows))
    malformed = parsed.malformed
    if malformed.count and not parsed.clicks.num_rows and not parsed.findings.left_out:
        row, text = malformed.first[0]
        line = 1 + data.count(b"\n", 0, body) + row
        raise HlnError(
            f"{file.path}, line {line} is {text!r} and none of the first "
            f"rows is better: {found.schema.explain(malformed.hint)}; see --dataset and --spec"
        )
    return found


def _check_header(file: LogFile, first: bytes) -> None:
    """Check that a header is none of the rows: names are no time.

    Raises:
      HlnError: It is a row.
    """
    if parse_block(Block(file, 0, first)).clicks.num_rows:
        shown = first.decode(errors="replace").strip()[:SHOWN]
        raise HlnError(
            f"{file.path}, line 1 is {shown!r}, which is a click and names no columns: set header: "
            "false in the spec (--no-header)"
        )


def _log_file(file: RawFile, schema: Schema, body: int = 0) -> LogFile:
    return LogFile(**dataclasses.asdict(file), schema=schema, body=body)


def _names(file: RawFile, log: LogFormat, first: bytes) -> list[str]:
    """Return the names of the columns, or their numbers."""
    if not log.header and log.columns:
        return _numbers(log.columns)
    try:
        text = first.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise HlnError(
            f"{file.path}, line 1 is not UTF-8 text (byte 0x{first[error.start]:02x}): "
            "convert the file to UTF-8"
        ) from None
    if log.is_quoted:
        names = next(csv.reader([text], delimiter=log.between), [])
    else:
        names = text.split(log.between)
    return names if log.header else _numbers(len(names))


def _numbers(columns: int) -> list[str]:
    return [str(number) for number in range(1, columns + 1)]


def _object_names(file: RawFile, log: LogFormat, data: bytes) -> list[str]:
    """Return the names in the objects of the first lines.

    Where no line is one that `where` selects, the names that are used are among them.
    """
    lines = [line for line in data.split(b"\n")[:_LINES] if line.strip()]
    if lines and lines[0].lstrip().startswith(b"["):
        raise HlnError(
            f"{file.path} is one JSON array, expected a JSON object on each line: convert it, such "
            "as by jq -c '.[]'"
        )
    names = list(
        dict.fromkeys(name for line in lines for name in object_names(decode_object(line)))
    )
    if not names:
        shown = lines[0].decode(errors="replace").strip()[:SHOWN]
        raise HlnError(
            f"{file.path}, line 1 is {shown!r}, expected a JSON object on each line: "
            "see format in the spec"
        )
    if log.where and all(column in names for column in log.conditions):
        assumed = list(dict.fromkeys([*names, *log.used]))
        opened = _log_file(file, Schema.find(log, assumed, file.path))
        parsed = parse_block(Block(opened, 0, b"\n".join(lines)))
        if parsed.findings.skipped and not (parsed.clicks.num_rows or parsed.findings.missing):
            return assumed
    return names
