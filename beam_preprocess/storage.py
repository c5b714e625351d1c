"""Reading and writing of files in any file system that Beam knows, such as a local one or `gs://`.

Beam tries again where a store does not answer, some things for ten minutes.
"""

import contextlib
import glob
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from beam_preprocess.inputs import HIDDEN
from hln_tf.common.cli import require_extra
from hln_tf.common.errors import HlnError
from hln_tf.common.files import is_url, join
from hln_tf.common.periodic import periodic
from hln_tf.data.stores import REMEDY

UNFINISHED = ".unfinished"  # directory of files that are being written
_CHUNK = 1 << 20
# Beam gives the workers of an external pool no options: a store's are in their environment.
if FileSystems._pipeline_options is None:
    FileSystems.set_options(PipelineOptions([]))
_PATIENCE = 30.0  # seconds without an answer of a store, after which a message says so


class StoreError(HlnError):
    """An object store refuses to read or write, or does not answer."""


class _StoreFile(io.RawIOBase):
    """A file of a store, whose errors name it."""

    def __init__(self, path: str, file: BinaryIO, done: str) -> None:
        super().__init__()
        self._path, self._file, self._done = path, file, done

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: Any) -> int:
        with _reported(self._path, self._done):
            return self._file.readinto(buffer)  # type: ignore[attr-defined]

    def write(self, data: Any) -> int:
        with _reported(self._path, self._done):
            return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        if not self.closed:
            super().close()
            with _reported(self._path, self._done):
                self._file.close()


@contextlib.contextmanager
def _reported(path: str, done: str) -> Iterator[None]:
    """Turn the errors of a store into one sentence.

    Args:
      path: What is read or written; nothing happens to errors of local files.
      done: What cannot be done with it.

    Raises:
      StoreError: It cannot be done.
    """
    try:
        yield
    except HlnError:
        raise
    except Exception as error:  # each store has errors of its own
        if is_local(path):
            raise
        raise StoreError(f"{path} cannot be {done} ({_reason(error)}): {REMEDY}") from None


@contextlib.contextmanager
def _asked(path: str, done: str) -> Iterator[None]:
    """As `_reported`, with messages while a store does not answer."""
    if is_local(path):
        yield
        return

    def note() -> None:
        print(f"waiting for {path}: Beam tries for ten minutes, Ctrl-C stops it", file=sys.stderr)

    with periodic(note, _PATIENCE), _reported(path, done):
        yield


def set_options(flags: Sequence[str]) -> None:
    """Set Beam's options for file systems, such as `--s3_endpoint_url`."""
    FileSystems.set_options(PipelineOptions(list(flags)))


def is_local(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is one of this machine's file system, not a URL."""
    return not is_url(path)


def _is_hidden(path: str) -> bool:
    return any(name.startswith(HIDDEN) for name in path.split("/"))


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path that means the same in any working directory; a URL is unchanged."""
    return os.path.abspath(path) if is_local(path) else str(path)


def check_scheme(path: str) -> None:
    """Check that Beam knows the file system of a path.

    Raises:
      HlnError: It does not.
    """
    try:
        FileSystems.get_filesystem(path)
    except (ValueError, BeamIOError) as error:
        raise HlnError(
            f"{path} is in no file system that Beam can use here ({_reason(error)}): "
            "install Beam's support for it, such as apache-beam[gcp] or apache-beam[aws]"
        ) from None
    if path.startswith("s3:"):
        require_extra("s3", ["boto3"])


def check_writable(directory: str) -> None:
    """Check that files can be written and deleted next to a directory, with no second try.

    Args:
      directory: Its URL.

    Raises:
      StoreError: They cannot, or the store does not answer.
    """
    probe = temporary_directory(directory)
    with _reported(directory, "written"):
        with FileSystems.create(probe, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(b"x")  # Beam cannot write an empty file to S3
        FileSystems.delete([probe])


def temporary_directory(directory: str) -> str:
    """Return the URL of a directory that is not used, for what is going to be another one."""
    return f"{directory}.{uuid.uuid4().hex}.tmp"


def open_file(path: str) -> BinaryIO:
    """Open a file for reading, without decompression.

    Raises:
      OSError: It cannot be opened.
      StoreError: It cannot be opened, and is in a store; the file itself raises it too.
    """
    with _asked(path, "read"):
        file = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    if is_local(path):
        return file
    return io.BufferedReader(_StoreFile(path, file, "read"), _CHUNK)


def _create(path: str) -> BinaryIO:
    with _reported(path, "written"):
        file = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    if is_local(path):
        return file
    return io.BufferedWriter(_StoreFile(path, file, "written"), _CHUNK)


@contextlib.contextmanager
def create_file(path: str, directory: str, compressed: bool = False) -> Iterator[BinaryIO]:
    """Write a file under a temporary name, and rename it when the block succeeds.

    A step that an engine runs twice replaces the file by the same content.

    Args:
      path: The file to write or replace.
      directory: The data set directory, which temporary files are in.
      compressed: Whether to compress with gzip; equal contents give equal files.
    """
    temporary = join(directory, f"{UNFINISHED}/{uuid.uuid4().hex}")
    with _create(temporary) as file:
        if compressed:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield file
    move([temporary], [path])


def move(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Rename files, also where a target's directory or the target is missing or there."""
    for parent in dict.fromkeys(target.rpartition("/")[0] for target in targets):
        with contextlib.suppress(OSError):  # it exists
            FileSystems.mkdirs(parent)
    if sources:
        with _reported(targets[0], "written"):
            FileSystems.rename(list(sources), list(targets))


def replace_directory(source: str, target: str, mark: str) -> None:
    """Move a store's directory to where another one may be, which stores cannot do at once.

    Meanwhile the file `mark` is missing in the target.

    Args:
      source: The directory to move.
      target: Its new URL.
      mark: Name of the file that is removed first and moved last.
    """
    names = sorted(path.removeprefix(f"{source}/") for path in list_files(source))
    replaced = list_files(target)
    delete([path for path in replaced if path == join(target, mark)])
    delete(set(replaced) - {join(target, name) for name in [*names, mark]})
    for moved in ([name for name in names if name != mark], [mark]):
        move([join(source, name) for name in moved], [join(target, name) for name in moved])


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file or directory."""
    with _asked(str(path), "read"):
        return FileSystems.exists(str(path))


def size(path: str) -> int:
    """Return a file's size in bytes."""
    with _asked(path, "read"):
        return FileSystems.get_filesystem(path).size(path)


def list_files(directory: str) -> list[str]:
    """List the paths of all files in a directory and those below it."""
    return match(join(directory, "**"))


def match(pattern: str) -> list[str]:
    """List the paths of all files that match a pattern such as `gs://bucket/clicks/*.csv`."""
    with _asked(pattern, "listed"):
        return [found.path for found in FileSystems.match([pattern])[0].metadata_list]


def expand(path: str) -> list[str]:
    """Replace the URL of a directory or a pattern by those of its files, but for hidden ones.

    Raises:
      HlnError: Beam does not know the file system, or no file matches a pattern.
    """
    check_scheme(path)
    if is_local(path):
        return [path]
    is_pattern = glob.has_magic(path)
    directory = path.rpartition("/")[0] if is_pattern else path.rstrip("/")
    found = match(path) if is_pattern else list_files(directory)
    found = [each for each in found if not _is_hidden(each.removeprefix(directory))]
    if is_pattern and not found:
        raise HlnError(f"{path} matches no file: give the URL of a raw log to --input")
    return found or [path]


def delete(paths: Iterable[str]) -> None:
    """Delete files."""
    if deleted := list(paths):
        with _reported(deleted[0], "deleted"):
            FileSystems.delete(deleted)


def delete_unfinished(directory: str) -> None:
    """Delete what workers that were stopped have left of `create_file` in a directory."""
    if is_local(directory):
        shutil.rmtree(os.path.join(directory, UNFINISHED), ignore_errors=True)
    else:
        delete(list_files(join(directory, UNFINISHED)))


def read_json(path: str, remedy: str) -> Any:
    """Read a JSON file.

    Args:
      path: The file.
      remedy: What the user can do if it is missing or damaged.

    Raises:
      HlnError: It is missing or not JSON; the message ends with `remedy`.
    """
    if not exists(path):
        raise HlnError(f"{path} does not exist: {remedy}")
    try:
        with open_file(path) as file:
            return json.loads(file.read())
    except ValueError as error:
        raise HlnError(f"{path} is not valid JSON ({error}): {remedy}") from None


def write_json(path: str, directory: str, value: Any) -> None:
    """Write `value` as indented JSON; see `create_file`."""
    with create_file(path, directory) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sha256(path: str) -> str:
    """Compute a file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    details = getattr(error, "exception_details", None)  # those of Beam's errors, by file
    if details:
        error = next(iter(details.values()))
    text = str(getattr(error, "message", None) or error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
