"""Reading and writing of files in any file system that Beam knows, such as a local one or `gs://`."""

import contextlib
import glob
import gzip
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from beam_preprocess.inputs import HIDDEN
from hln_tf.common.errors import HlnError

UNFINISHED = ".unfinished"  # directory of files that are being written
_CHUNK = 1 << 20


def set_options(flags: Sequence[str]) -> None:
    """Set Beam's options for file systems, such as `--s3_endpoint_url`."""
    FileSystems.set_options(PipelineOptions(list(flags)))


def is_local(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is one of this machine's file system, not a URL."""
    return "://" not in str(path)


def _is_hidden(path: str) -> bool:
    return any(name.startswith(HIDDEN) for name in path.split("/"))


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path that means the same in any working directory; a URL is unchanged."""
    return os.path.abspath(path) if is_local(path) else str(path)


def join(directory: str, *names: str) -> str:
    """Join names to a directory."""
    return FileSystems.join(directory, *names)


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


def open_file(path: str) -> BinaryIO:
    """Open a file for reading, without decompression.

    Raises:
      OSError: It cannot be opened.
    """
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def create_file(path: str, directory: str, compressed: bool = False) -> Iterator[BinaryIO]:
    """Write a file under a temporary name, and rename it when the block succeeds.

    A step that an engine runs twice replaces the file by the same content.

    Args:
      path: The file to write or replace.
      directory: The data set directory, which temporary files are in.
      compressed: Whether to compress with gzip; equal contents give equal files.
    """
    temporary = join(directory, UNFINISHED, uuid.uuid4().hex)
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        if compressed:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield file
    move(temporary, path)


def move(source: str, target: str) -> None:
    """Rename a file, also where the target's directory or the target is missing or there."""
    with contextlib.suppress(OSError):  # it exists
        FileSystems.mkdirs(target.rpartition("/")[0])
    FileSystems.rename([source], [target])


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file or directory."""
    return FileSystems.exists(str(path))


def size(path: str) -> int:
    """Return a file's size in bytes."""
    return FileSystems.get_filesystem(path).size(path)


def list_files(directory: str) -> list[str]:
    """List the paths of all files in a directory and those below it."""
    return match(join(directory, "**"))


def match(pattern: str) -> list[str]:
    """List the paths of all files that match a pattern such as `gs://bucket/clicks/*.csv`."""
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
    """Delete files and directories; those that are missing are ignored."""
    present = [path for path in paths if exists(path)]
    if present:
        FileSystems.delete(present)


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
    return str(error).splitlines()[0].rstrip(".")
