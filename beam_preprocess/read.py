"""Raw files as blocks of whole lines, plain or gzip."""

import dataclasses
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from beam_preprocess import progress
from hln_tf.errors import HlnError, UsageError
from hln_tf.files import sha256

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file; `index` is its place in the order of names."""

    index: int
    path: str
    bytes: int
    compressed: bool

    @property
    def name(self) -> str:
        """The file's name without its directory."""
        return os.path.basename(self.path)

    def description(self) -> dict[str, str | int]:
        """Name, size and checksum, as the manifest has them."""
        return {"name": self.name, "bytes": self.bytes, "sha256": sha256(self.path)}


@dataclasses.dataclass(frozen=True)
class Part:
    """The lines of a file that begin at byte `start` or later, before byte `end`."""

    file: RawFile
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines of a file; `offset` is the place of the first byte in the unpacked file."""

    file: RawFile
    offset: int
    data: bytes


def find_files(paths: Sequence[str | os.PathLike[str]]) -> list[RawFile]:
    """Checks the raw files and puts them in order of name.

    Raises:
      HlnError: A file is missing, empty, no file, or not gzip though it is
        called `.gz`.
    """
    ordered = sorted((Path(path) for path in paths), key=lambda path: (path.name, str(path)))
    found = []
    for index, path in enumerate(ordered):
        if not path.exists():
            raise HlnError(f"{path} does not exist: give the path of a raw log to --input")
        if not path.is_file():
            raise HlnError(f"{path} is not a file: give the raw logs themselves to --input")
        if any(path.samefile(other) for other in ordered[:index]):
            raise UsageError(f"{path} is given twice in --input: its clicks would count twice")
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        if path.stat().st_size == 0:
            raise HlnError(f"{path} is empty: expected a raw log of at least one row")
        if path.suffix == ".gz" and not compressed:
            raise HlnError(
                f"{path} is not a gzip file although its name ends in .gz: "
                "rename it if it is plain text, or fetch it again"
            )
        found.append(RawFile(index, str(path), path.stat().st_size, compressed))
    return found


def cut(files: Sequence[RawFile], block_bytes: int) -> list[Part]:
    """Cuts plain files into parts of `block_bytes`; a gzip file can only be read as a whole."""
    return [
        Part(file, start, min(start + block_bytes, file.bytes))
        for file in files
        for start in range(0, file.bytes, file.bytes if file.compressed else block_bytes)
    ]


def read_blocks(part: Part, block_bytes: int) -> Iterator[Block]:
    """Yields a part's lines in blocks of about `block_bytes`.

    Raises:
      HlnError: The file is a damaged or truncated gzip file.
    """
    with open(part.file.path, "rb") as raw:
        if part.file.compressed:
            yield from _gzip_blocks(raw, part.file, block_bytes)
            return
        start = part.start
        if start:
            # The line at hand belongs to the part before, unless it begins just here.
            raw.seek(start - 1)
            start += len(raw.readline()) - 1
        if start < part.end:
            data = raw.read(part.end - start)
            if not data.endswith(b"\n"):
                data += raw.readline()
            yield Block(part.file, start, data)
        progress.advance(part.end - part.start)


def _gzip_blocks(raw: BinaryIO, file: RawFile, block_bytes: int) -> Iterator[Block]:
    offset, rest, packed = 0, b"", 0
    with gzip.GzipFile(fileobj=raw) as stream:
        while True:
            chunk = _read_gzip(stream, file, block_bytes)
            end = chunk.rfind(b"\n") + 1
            if end or not chunk:
                data = rest + chunk[:end]
                if data:
                    yield Block(file, offset, data)
                offset += len(data)
                rest = b""
            rest += chunk[end:]
            progress.advance(raw.tell() - packed)
            packed = raw.tell()
            if not chunk:
                return


def _read_gzip(stream: gzip.GzipFile, file: RawFile, size: int) -> bytes:
    try:
        return stream.read(size)
    except EOFError:
        raise HlnError(
            f"{file.path} ends in the middle of its gzip data: it is truncated, fetch it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise HlnError(
            f"{file.path} is not a sound gzip file ({error}): it is damaged, fetch it again"
        ) from None


def first_block(file: RawFile) -> Block:
    """Whole lines from the file's beginning, at most about 1 MB.

    Raises:
      HlnError: The file holds nothing, or a first line without end.
    """
    if file.compressed:
        with open(file.path, "rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            data = _read_gzip(stream, file, _CHUNK)
    else:
        with open(file.path, "rb") as raw:
            data = raw.read(_CHUNK)
    if not data.strip():
        raise HlnError(f"{file.path} is empty: expected a raw log of at least one row")
    if len(data) == _CHUNK:
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            raise HlnError(
                f"{file.path}, line 1 is longer than {_CHUNK:,} bytes: expected a text file of rows"
            )
    return Block(file, 0, data)


def line_number(file: RawFile, offset: int) -> int:
    """Number, from 1, of the line that holds byte `offset` of the unpacked file."""
    lines, left = 1, offset
    with (gzip.open if file.compressed else open)(file.path, "rb") as stream:
        while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
            lines += chunk.count(b"\n")
            left -= len(chunk)
    return lines
