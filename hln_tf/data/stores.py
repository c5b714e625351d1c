"""Directories in object stores, such as `s3://bucket/name`, read through copies of their files.

TensorFlow knows few stores; fsspec, by which the files are copied, knows nearly all. A copy is
below `~/.cache/hln-tf/copies`, or below the directory that the environment variable
`HLN_TF_CACHE` names, in a directory whose name is a checksum of what the store lists, so that it is
never read for other content. A new copy removes those that no process has opened for 30 days, which
the modification times of these directories record.
"""

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common.errors import HlnError
from hln_tf.common.files import Location, atomic_write, directory_lock, join
from hln_tf.common.progress import progress_bar

REMEDY = "check the URL, and the credentials and the endpoint of the store"
CACHE_VARIABLE = "HLN_TF_CACHE"
ALL = ("*",)
_LOCAL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_UNUSED_SECONDS = 30 * 24 * 3600  # after which a copy is removed
_SHOWN_BYTES = 10 << 20  # copies that are larger have a progress bar


def local_copy(directory: Location, names: Sequence[str] = ALL) -> Path:
    """Return a directory of this machine with some files of a directory: itself, or a copy.

    Args:
      directory: The directory.
      names: Names of the files, relative to it, or patterns such as `model/*`; of a URL,
        others may be missing in the copy.

    Returns:
      The directory, which is missing if `directory` is or has no files.

    Raises:
      HlnError: The store cannot be read, or one of the files was replaced meanwhile.
    """
    if isinstance(directory, Path):
        return directory
    found = list_files(directory)
    listing = json.dumps([directory, found], sort_keys=True, default=str)
    digest = hashlib.sha256(listing.encode())
    root = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/hln-tf").expanduser().absolute()
    copy = root / "copies" / digest.hexdigest()[:32] / directory.rpartition("/")[2]
    HlnError.copies[str(copy)] = directory
    if found:
        _open_copy(copy.parent)
    fetch(directory, copy, found, names)
    return copy


def _open_copy(entry: Path) -> None:
    """Create the directory of a copy, or record that it is used; a new one removes unused ones.

    All of it is under a lock, so that no process removes a copy that another one has just opened.
    """
    with directory_lock(entry.parent):
        is_new = not entry.exists()
        entry.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # another user's, or in a file system that is read only
            os.utime(entry)
        if is_new:
            oldest = time.time() - _UNUSED_SECONDS
            for other in entry.parent.iterdir():
                with contextlib.suppress(FileNotFoundError):  # removed by hand meanwhile
                    if other.stat().st_mtime < oldest:
                        shutil.rmtree(other, ignore_errors=True)


def fetch(
    directory: str, target: Path, found: Mapping[str, Mapping[str, Any]], names: Sequence[str] = ALL
) -> None:
    """Copy files of a store's directory to this machine, unless they are there.

    Args:
      directory: URL of the directory.
      target: The directory to copy to, created unless the store's has no files.
      found: The files from `list_files`.
      names: As for `local_copy`.

    Raises:
      HlnError: The store cannot be read, or one of the files was replaced meanwhile.
    """
    if found:
        target.mkdir(parents=True, exist_ok=True)
    missing = {
        name: file
        for name, file in found.items()
        if any(fnmatch.fnmatchcase(name, each) for each in names) and not (target / name).exists()
    }
    total = sum(file["size"] for file in missing.values())
    with contextlib.ExitStack() as stack:
        bar = None
        if total > _SHOWN_BYTES:
            bar = stack.enter_context(progress_bar(f"copying {directory}", "B", total))
        for name, file in missing.items():
            url = f"{directory}/{name}"
            with atomic_write(target / name) as temporary, reading(url):
                _file_system(directory)[0].get_file(file["name"], str(temporary))
                if (size := temporary.stat().st_size) != file["size"]:
                    raise OSError(f"{size:,} of {file['size']:,} bytes arrived")
            if bar:
                bar.update(file["size"])
    there = list_files(directory) if missing else {}
    if changed := [name for name, file in missing.items() if there.get(name) != file]:
        for name in changed:  # the store may list the same again, should the content come back
            (target / name).unlink(missing_ok=True)
        raise HlnError(
            f"{directory}/{changed[0]} was replaced while {directory} was copied: wait until it "
            f"is written, and run the same command again"
        )


def list_files(directory: str) -> dict[str, dict[str, Any]]:
    """List the files of a store's directory and those below it, by name relative to it.

    Returns:
      The description of each file by fsspec: its path as `name`, its `size` in bytes, and what
      differs for another content, such as a checksum.

    Raises:
      HlnError: The store cannot be read.
    """
    with reading(directory):
        system, root = _file_system(directory)
        found = system.find(root, detail=True)
    below = f"{root.rstrip('/')}/"
    files = {}
    for path, file in found.items():
        if not path.startswith(below) or path.endswith("/"):  # the latter marks a directory
            continue
        name = path.removeprefix(below)
        if {"", ".."} & {*name.split("/")}:  # a copy might not be below the copy's directory
            raise HlnError(f"{directory}/{name} has '..' or '//' in its name: rename or remove it")
        if file.get("size") is None:
            raise HlnError(
                f"{directory} is in a store that lists no sizes, by which copies are checked: copy "
                f"the directory to this machine and name the copy"
            )
        files[name] = file
    return files


def is_file(path: Location) -> bool:
    """Return whether there is a file.

    Raises:
      HlnError: The store cannot be read.
    """
    if isinstance(path, Path):
        return path.is_file()
    with reading(path):
        system, root = _file_system(path)
        try:
            return bool(system.info(root)["type"] == "file")
        except FileNotFoundError:
            return False


def directories_with(directory: Location, name: str) -> list[Location]:
    """List the directories just below a directory that have a file of a name.

    Raises:
      HlnError: The store cannot be read.
    """
    if isinstance(directory, Path):
        return sorted(path.parent for path in directory.glob(f"*/{name}"))
    with reading(directory):
        system, root = _file_system(directory)
        found = system.glob(f"{root}/*/{name}")
    return sorted(join(directory, path.split("/")[-2]) for path in found)


@contextlib.contextmanager
def reading(url: str) -> Iterator[None]:
    """Turn the errors of a store's client into one sentence that names a URL.

    Raises:
      HlnError: The store cannot be read, or a package for it is not installed.
    """
    try:
        yield
    except HlnError:
        raise
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None)
        package = "'hln-tf[s3]'" if url.startswith("s3:") else missing or "it"
        raise HlnError(
            f"{url} needs a Python package that is not installed ({_reason(error)}): run pip "
            f"install {package}"
        ) from None
    except Exception as error:  # each store's client has errors of its own
        if isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
            raise
        raise HlnError(f"{url} cannot be read ({_reason(error)}): {REMEDY}") from None


def _file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, without an old listing, and the path in it."""
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return system, root


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
