"""Extraction of one file from an archive: .7z, .zip, .tar with any compression."""

import contextlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import py7zr

from beam_preprocess.download.transfer import MirrorError, check_space
from hln_tf.common.errors import HlnError
from hln_tf.common.periodic import periodic
from hln_tf.common.progress import progress_bar

_CHUNK = 1 << 20
_INTERVAL = 0.5  # seconds between two looks at the growing file


def unpack(archive: Path, name: str, directory: Path) -> Path:
    """Extract a file from an archive; a download that is no archive is the file itself.

    Args:
      archive: The download, whatever its name.
      name: The file's name, in any directory of the archive.
      directory: Where to extract it; replaced.

    Returns:
      The path of the file.

    Raises:
      MirrorError: The archive is damaged, or the file is not in it.
      HlnError: There is too little space.
    """
    kinds = ((py7zr.is_7zfile, _unpack_7z), (zipfile.is_zipfile, _unpack_zip))
    extract = next((each for is_kind, each in kinds if is_kind(archive)), None)
    if extract is None and tarfile.is_tarfile(archive):
        extract = _unpack_tar
    if extract is None:
        return archive
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        return extract(archive, name, directory)
    except HlnError:
        raise
    except Exception as error:  # libraries raise all sorts of them for damaged bytes
        if isinstance(error, OSError) and error.errno:
            raise
        reason = str(error) or type(error).__name__
        raise MirrorError(f"the archive is damaged ({reason})") from None


def _unpack_7z(archive: Path, name: str, directory: Path) -> Path:
    with py7zr.SevenZipFile(archive) as opened:
        member = _find(name, opened.getnames())
        with _growing(directory, member, opened.getinfo(member).uncompressed):
            opened.extract(directory, targets=[member])
    return directory / member


def _unpack_zip(archive: Path, name: str, directory: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        member = _find(name, opened.namelist())
        with _growing(directory, member, opened.getinfo(member).file_size):
            return Path(opened.extract(member, directory))


def _unpack_tar(archive: Path, name: str, directory: Path) -> Path:
    with tarfile.open(archive) as opened:
        # Not by name: that would read the whole archive twice.
        for member in opened:
            if member.isfile() and os.path.basename(member.name) == name:
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise MirrorError(f"the archive is damaged ({member.name} leads out of it)")
                with _growing(directory, name, member.size):
                    content = opened.extractfile(member)
                    assert content is not None  # it is a file
                    with content, (directory / name).open("wb") as file:
                        shutil.copyfileobj(content, file, _CHUNK)
                    while opened.fileobj and opened.fileobj.read(_CHUNK):
                        pass  # to the checksum at the end of a .gz
                return directory / name
    return directory / _find(name, [])


def _find(name: str, members: Iterable[str]) -> str:
    found = next((member for member in members if os.path.basename(member) == name), None)
    if found is None:
        raise MirrorError(f"the archive has no file {name}")
    return found


@contextlib.contextmanager
def _growing(directory: Path, member: str, total: int) -> Iterator[None]:
    """Show the progress of a block that writes a file of `total` bytes below a directory."""
    check_space(directory, total)
    path = directory / member
    with progress_bar(f"unpacking {path.name}", "bytes", total) as bar:

        def show() -> None:
            bar.update((path.stat().st_size if path.exists() else 0) - bar.n)

        with periodic(show, _INTERVAL):
            yield
        show()
