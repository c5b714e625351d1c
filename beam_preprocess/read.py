"""Reading of raw text files, plain or gzip, in blocks of whole rows."""

import dataclasses
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from beam_preprocess import storage
from beam_preprocess.records import whole_rows
from beam_preprocess.schema import Schema
from hln_tf.common.errors import HlnError, UsageError

_GZIP_MAGIC = b"\x1f\x8b"
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
      compressed: Whether it is gzip.
      part: The part that it is a file of, see `hln_tf.data.session_columns.PART_BITS`.
    """

    index: int
    path: str
    location: str
    bytes: int
    compressed: bool
    part: int = dataclasses.field(default=0, kw_only=True)

    @property
    def name(self) -> str:
        """The file's name without its directory."""
        return os.path.basename(self.path)

    def open(self) -> BinaryIO:
        """Open the file as it is, compressed or not."""
        return storage.open_file(self.location)

    def open_text(self) -> BinaryIO | gzip.GzipFile:
        """Open the file's uncompressed content."""
        raw = self.open()
        return gzip.GzipFile(fileobj=raw) if self.compressed else raw

    def description(self) -> dict[str, str | int]:
        """Return name, size and checksum, as the manifest has them."""
        return {"name": self.name, "bytes": self.bytes, "sha256": storage.sha256(self.location)}


@dataclasses.dataclass(frozen=True)
class LogFile(RawFile):
    """A raw file whose columns are known; rows of text begin at byte `body`, uncompressed."""

    schema: Schema
    body: int = 0


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
      paths: Paths or URLs of files.

    Raises:
      HlnError: A file is missing, empty, no regular file, or not gzip
        although its name ends in `.gz`.
      UsageError: A file is given twice.
    """
    found: list[RawFile] = []
    for path in sorted(map(str, paths), key=lambda path: (os.path.basename(path), path)):
        storage.check_scheme(path)
        location = storage.absolute(path)
        if not storage.exists(location):
            raise HlnError(f"{path} does not exist: give the path of a raw log to --input")
        if storage.is_local(path) and not os.path.isfile(location):
            raise HlnError(f"{path} is not a file: give the raw logs themselves to --input")
        if any(_is_same(location, other.location) for other in found):
            raise UsageError(f"{path} is given twice in --input: its clicks would count twice")
        with storage.open_file(location) as file:
            compressed = file.read(2) == _GZIP_MAGIC
        size = storage.size(location)
        if size == 0:
            raise HlnError(f"{path} is empty: expected a raw log of at least one row")
        if path.endswith(".gz") and not compressed:
            raise HlnError(
                f"{path} is not a gzip file although its name ends in .gz: "
                "rename it if it is plain text, or fetch it again"
            )
        found.append(RawFile(len(found), path, location, size, compressed))
    return found


def _is_same(path: str, other: str) -> bool:
    if storage.is_local(path) and storage.is_local(other):
        return os.path.samefile(path, other)
    return path == other


def cut_text(file: LogFile, block_bytes: int) -> list[Part]:
    """Cut a plain file into parts of `block_bytes`; a gzip file can only be read as a whole.

    Raises:
      HlnError: The file has a quote without end.
    """
    if file.compressed:
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
      HlnError: The file is a damaged or truncated gzip file.
    """
    file = part.file
    with file.open() as raw:
        if file.compressed:
            before = 0
            with gzip.GzipFile(fileobj=raw) as stream:
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


def _rows(
    stream: BinaryIO | gzip.GzipFile, file: LogFile, block_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of blocks of whole rows, read from the beginning on."""
    is_quoted = file.schema.log.is_quoted
    offset, rest = file.body, b""
    _read(stream, file, file.body)
    while True:
        chunk = _read(stream, file, block_bytes)
        if is_quoted:
            rest += chunk
            end = whole_rows(rest, is_quoted)
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
    if data.count(b'"') % 2:
        raise HlnError(
            f'{file.path}, line {line_number(file, offset)} has a quote (") that is never closed: '
            "fix the row, or set quotes: false in the spec if quotes mean nothing in the log"
        )


def _read(stream: BinaryIO | gzip.GzipFile, file: RawFile, size: int) -> bytes:
    try:
        return stream.read(size)
    except EOFError:
        raise HlnError(
            f"{file.path} ends in the middle of its gzip data: it is truncated, fetch it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise HlnError(
            f"{file.path} is not a valid gzip file ({error}): it is damaged, fetch it again"
        ) from None


def first_rows(file: RawFile, is_quoted: bool) -> bytes:
    """Read whole rows from the file's beginning, at most about 1 MB.

    Raises:
      HlnError: The file is empty, or its first row has no end.
    """
    with file.open_text() as text:
        data = _read(text, file, _CHUNK)
    if not data.strip():
        raise HlnError(f"{file.path} is empty: expected a raw log of at least one row")
    if len(data) == _CHUNK:
        data = data[: whole_rows(data, is_quoted)]
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
