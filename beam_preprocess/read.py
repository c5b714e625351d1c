"""Reading of raw text files, plain or compressed, in blocks of whole rows."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from beam_preprocess import compression, storage
from beam_preprocess.records import open_quote, whole_rows
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError, UsageError

_CHUNK = 1 << 20
_LONGEST_QUOTED = 16 << 20  # bytes of a quoted row; more counts as a quote without end


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file.

    Attributes:
      index: Its rank by name.
      path: Its path as the user gave it, for messages.
      location: Its path in any working directory, or its URL.
      bytes: Its size.
      compression: As `beam_preprocess.compression.detect` has it.
      part: The part that it is a file of, see `hln_tf.data.session_columns.PART_BITS`.
    """

    index: int
    path: str
    location: str
    bytes: int
    compression: str
    part: int = dataclasses.field(default=0, kw_only=True)

    @property
    def name(self) -> str:
        """The file's name without its directory."""
        return os.path.basename(self.path)

    def open(self) -> BinaryIO:
        """Open the file as it is, compressed or not."""
        return storage.open_file(self.location)

    def open_text(self) -> BinaryIO:
        """Open the file's uncompressed content."""
        return compression.decompress(self.open(), self.compression, self.path)

    def description(self) -> dict[str, str | int]:
        """Return name, size and checksum, as the manifest has them."""
        return {"name": self.name, "bytes": self.bytes, "sha256": storage.sha256(self.location)}


@dataclasses.dataclass(frozen=True)
class LogFile(RawFile):
    """A raw file whose columns are known; rows of text begin at byte `body`, uncompressed."""

    schema: Schema
    body: int = 0


@dataclasses.dataclass(frozen=True)
class RawLog:
    """The raw files of a log.

    Attributes:
      files: Those that have rows; each one's `index` is its rank among them.
      empty: Paths of those that have none.
    """

    files: tuple[LogFile, ...]
    empty: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """The rows of a file that begin at byte `start` or later, before byte `end`.

    Of a Parquet file, the row groups `start` to `end - 1`.
    """

    file: LogFile
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole rows of a file.

    Attributes:
      file: The file.
      offset: Offset of the first byte in the uncompressed file.
      data: The rows.
      raw_bytes: Bytes of the file that were read for them.
    """

    file: LogFile
    offset: int
    data: bytes
    raw_bytes: int = 0


def find_files(paths: Sequence[str | os.PathLike[str]]) -> list[RawFile]:
    """Check the raw files and sort them by name.

    Args:
      paths: Paths of files; URLs of files, of directories, or patterns.

    Raises:
      HlnError: A file is missing, no regular file, or not compressed as its name says.
      UsageError: A file is given twice.
    """
    found: list[RawFile] = []
    identities = set()
    given = [path for each in paths for path in storage.expand(str(each))]
    for path in sorted(given, key=lambda path: (os.path.basename(path), path)):
        location = storage.absolute(path)
        if not storage.exists(location):
            raise HlnError(f"{path} does not exist: give the path of a raw log to --input")
        if storage.is_local(path) and not os.path.isfile(location):
            raise HlnError(f"{path} is not a file: give the raw logs themselves to --input")
        identity = _identity(location)
        if identity in identities:
            raise UsageError(f"{path} is given twice in --input: its clicks would count twice")
        identities.add(identity)
        with storage.open_file(location) as file:
            compressed = compression.detect(file.read(compression.HEAD), path)
        size = storage.size(location)
        found.append(RawFile(len(found), path, location, size, compressed))
    return found


def _identity(location: str) -> tuple[int, int] | str:
    """Return what two paths of the same file have in common."""
    if not storage.is_local(location):
        return location
    status = os.stat(location)
    return status.st_dev, status.st_ino


def cut_text(file: LogFile, block_bytes: int) -> list[Part]:
    """Cut a plain file into parts of `block_bytes`; a compressed one is read as a whole.

    Raises:
      HlnError: The file has a quote without end.
    """
    if file.compression:
        return [Part(file, 0, file.bytes)]
    if file.schema.log.is_quoted:
        # Only from the beginning of the file is it known which line breaks are inside quotes.
        with file.open() as raw:
            blocks = [
                (offset, offset + len(data)) for offset, data in _rows(raw, file, block_bytes)
            ]
        return [Part(file, *bounds) for bounds in blocks]
    return [
        Part(file, start, min(start + block_bytes, file.bytes))
        for start in range(file.body, file.bytes, block_bytes)
    ]


def read_blocks(part: Part, block_bytes: int) -> Iterator[Block]:
    """Yield a part's rows in blocks of about `block_bytes`.

    Raises:
      HlnError: The file is compressed, and damaged or truncated.
    """
    file = part.file
    with file.open() as raw:
        if file.compression:
            before = 0
            with compression.decompress(raw, file.compression, file.path) as stream:
                for offset, data in _rows(stream, file, block_bytes):
                    position = raw.tell()
                    yield Block(file, offset, data, position - before)
                    before = position
            return
        start = part.start
        raw.seek(start)
        if start > file.body:
            # The line at this byte belongs to the part before, unless it begins just here.
            raw.seek(start - 1)
            start += len(raw.readline()) - 1
        if start < part.end:
            data = raw.read(part.end - start)
            if not data.endswith(b"\n") and not file.schema.log.is_quoted:
                data += raw.readline()
            yield Block(file, start, data, part.end - part.start)


def _rows(stream: BinaryIO, file: LogFile, block_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of blocks of whole rows, read from the beginning on."""
    delimiter = file.schema.log.quoted_between
    offset, rest = file.body, b""
    _read(stream, file, file.body)
    while True:
        chunk = _read(stream, file, block_bytes)
        if delimiter:
            rest += chunk
            end = whole_rows(rest, delimiter)
            if not chunk or len(rest) - end > max(_LONGEST_QUOTED, block_bytes):
                _check_quotes(rest[end:], file, offset + end)
            data, rest = (rest[:end], rest[end:]) if chunk else (rest, b"")
        else:
            end = chunk.rfind(b"\n") + 1
            data, rest = (rest + chunk[:end], chunk[end:]) if end else (b"", rest + chunk)
            if not chunk:
                data, rest = rest, b""
        if data:
            yield offset, data
        offset += len(data)
        if not chunk:
            return


def _check_quotes(data: bytes, file: LogFile, offset: int) -> None:
    opening = open_quote(data, file.schema.log.quoted_between)
    if opening is not None:
        line = line_number(file, offset + opening)
        raise HlnError(
            f'{file.path}, line {line} has a quote (") that is never closed: '
            "fix the row, or set quotes: false in the spec if quotes mean nothing in the log"
        )


def _read(stream: BinaryIO, file: RawFile, size: int) -> bytes:
    return compression.read(stream, size, file.path, file.compression)


def first_rows(file: RawFile, delimiter: str) -> bytes:
    """Read whole rows from the file's beginning, at most about 1 MB.

    Args:
      file: The file.
      delimiter: As for `whole_rows`.

    Raises:
      HlnError: The first row has no end.
    """
    with file.open_text() as text:
        data = _read(text, file, _CHUNK)
    if len(data) == _CHUNK:
        data = data[: whole_rows(data, delimiter)]
        if not data:
            raise HlnError(
                f"{file.path}, line 1 is longer than {_CHUNK:,} bytes: expected a text file of rows"
            )
    return data


def line_number(file: LogFile, offset: int) -> int:
    """Find the number, from 1, of the line that contains byte `offset` of the uncompressed file.

    Offsets in a Parquet file are rows: there it is the number of the row.
    """
    if file.schema.log.format == "parquet":
        return offset + 1
    lines, remaining = 1, offset
    with file.open_text() as stream:
        while remaining > 0 and (chunk := stream.read(min(remaining, _CHUNK))):
            lines += chunk.count(b"\n")
            remaining -= len(chunk)
    return lines
