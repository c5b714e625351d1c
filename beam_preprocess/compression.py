"""Compressed raw files: gzip, bzip2, Zstandard, and ZIP archives of one file."""

import bz2
import gzip
import re
import zipfile
import zlib
from typing import BinaryIO, cast

import pyarrow as pa

from beam_preprocess.inputs import HIDDEN, describe_files
from hln_tf.common.errors import HlnError

HEAD = 10  # bytes that show what a file is
_BEGINNINGS = {
    "gzip": rb"\x1f\x8b",
    "bzip2": rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)",
    "zip": rb"PK(\x03\x04|\x05\x06)",
    "Zstandard": rb"\x28\xb5\x2f\xfd",
}
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".zip": "zip", ".zst": "Zstandard"}
_DAMAGED = (OSError, zlib.error, zipfile.BadZipFile, pa.ArrowException)


def detect(head: bytes, path: str) -> str:
    """Find out how a file is compressed; an empty text where it is not.

    Args:
      head: Its first `HEAD` bytes.
      path: Its path.

    Raises:
      HlnError: Its name has the ending of another compression.
    """
    found = next((name for name, begin in _BEGINNINGS.items() if re.match(begin, head)), "")
    ending = next((ending for ending in _ENDINGS if path.endswith(ending)), "")
    if head and ending and _ENDINGS[ending] != found:
        raise HlnError(
            f"{path} is not a {_ENDINGS[ending]} file although its name ends in {ending}: "
            "rename it if it is plain text, or fetch it again"
        )
    return found


def decompress(raw: BinaryIO, compression: str, path: str) -> BinaryIO:
    """Open the content of a file for reading; see `read` for its errors.

    Args:
      raw: The file.
      compression: As `detect` has it.
      path: Its path, for messages.

    Raises:
      HlnError: It is an archive of no file or of several, or damaged.
    """
    if compression == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if compression == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if compression == "Zstandard":
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))
    return _open_archive(raw, path) if compression else raw


def _open_archive(raw: BinaryIO, path: str) -> BinaryIO:
    try:
        archive = zipfile.ZipFile(raw)
    except zipfile.BadZipFile as error:
        raise _damaged(path, "zip", error) from None
    files = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not any(part.startswith(HIDDEN) for part in name.split("/"))
    ]
    if len(files) != 1:
        raise HlnError(
            f"{path} holds {len(files)} files ({describe_files(files)}), expected one: unpack it, "
            "and give the raw logs themselves to --input"
        )
    try:
        return cast(BinaryIO, archive.open(files[0]))
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise _damaged(path, "zip", error) from None  # or encrypted


def read(stream: BinaryIO, size: int, path: str, compression: str) -> bytes:
    """Read bytes of a file's content.

    Raises:
      HlnError: The file is damaged or truncated.
    """
    if not compression:
        return stream.read(size)
    try:
        return stream.read(size)
    except EOFError:
        raise _truncated(path, compression) from None
    except _DAMAGED as error:
        if "runcated" in str(error):
            raise _truncated(path, compression) from None
        raise _damaged(path, compression, error) from None


def _truncated(path: str, compression: str) -> HlnError:
    return HlnError(
        f"{path} ends in the middle of its {compression} data: it is truncated, fetch it again"
    )


def _damaged(path: str, compression: str, error: Exception) -> HlnError:
    reason = str(error).splitlines()[0].rstrip(".")
    return HlnError(
        f"{path} is not a valid {compression} file ({reason}): it is damaged, fetch it again"
    )
