"""Atomic writes of files and directories, locks, JSON and checksums."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from hln_tf.common.errors import HlnError, UsageError

Location: TypeAlias = Path | str  # a path of this machine, or a URL such as s3://bucket/directory
_Directory = TypeVar("_Directory", Path, str, Location)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a URL of an object store, such as `s3://bucket/directory`."""
    return "://" in str(path)


def as_location(path: str | os.PathLike[str]) -> Location:
    """Return a path of this machine as a `Path`, or a URL as it is but for a slash at its end."""
    return str(path).rstrip("/") if is_url(path) else Path(path)


def written_here(path: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a directory that only this machine's file system can hold.

    Args:
      path: The path.
      name: Name of the argument, for the error.

    Raises:
      UsageError: It is a URL.
    """
    if is_url(path):
        raise UsageError(
            f"`{name}` is {path}, expected a directory of this machine: files are renamed and "
            f"locked in it, which object stores cannot; copy what is finished to the store"
        )
    return Path(path)


def join(directory: _Directory, name: str) -> _Directory:
    """Join a name to a directory's path or URL."""
    return directory / name if isinstance(directory, Path) else f"{directory}/{name}"


def name_of(location: Location) -> str:
    """Return the last name of a path or URL, of `.` that of the working directory."""
    if isinstance(location, Path):
        return location.resolve().name
    return location.rpartition("/")[2]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically: to a temporary file that is renamed to `path` on success.

    Args:
      path: The file to write or replace. Its directory is created when missing.

    Yields:
      The temporary path, in the same directory. When the block raises, it is
      removed and `path` is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
    except OSError as error:
        # The error of a failed write has no file name; the user knows the final one.
        if error.filename in (None, name):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a directory atomically, as `atomic_write` does a file.

    Temporary directories that killed processes abandoned for the same `path` are
    removed.

    Args:
      path: The directory to write; it must be missing or empty.

    Yields:
      The temporary path. When the block raises, it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    # The name contains host and process id, by which an abandoned directory is recognized.
    prefix = f".{path.name}.{os.uname().nodename}-{os.getpid()}-"
    temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~current_umask())
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Lock a directory, created when missing; wait while another process has the lock."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def process_lock(path: Path, resource: str, remedy: str) -> Iterator[None]:
    """Lock a file against other processes; the lock ends with the process.

    Args:
      path: The lock file, created when missing; it stores this process's id.
      resource: Name of the locked resource, for the error.
      remedy: What the user can do if another process has the lock.

    Raises:
      HlnError: Another process has the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = lock.read().strip() or "unknown"
            raise HlnError(f"{resource} is in use by process {process}: {remedy}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _remove_abandoned(path: Path) -> None:
    pattern = re.compile(
        rf"\.{re.escape(path.name)}\.{re.escape(os.uname().nodename)}-(\d+)-[^.]*\.tmp"
    )
    for entry in path.parent.iterdir():
        found = pattern.fullmatch(entry.name)
        if found and not _is_alive(int(found[1])):
            shutil.rmtree(entry, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def current_umask() -> int:
    """Return the process's umask, which `mkstemp` and `mkdtemp` do not apply."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read a JSON file.

    Args:
      path: The file.
      remedy: What the user can do if it is missing or damaged.

    Raises:
      HlnError: `path` is missing or not JSON; the message ends with `remedy`.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise HlnError(f"{path} does not exist: {remedy}") from None
    except OSError as error:
        raise HlnError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    except ValueError as error:
        raise HlnError(f"{path} is not valid JSON ({error}): {remedy}") from None


def sha256(path: str | os.PathLike[str]) -> str:
    """Compute a file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
