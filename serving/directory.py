"""The directory of a model: `NUMBER/saved_model.pb` for each version, here or in a store."""

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

from hln_tf.common.errors import HlnError
from hln_tf.common.files import is_url
from hln_tf.common.text import is_version
from hln_tf.data import stores
from serving.settings import ModelSettings


@dataclasses.dataclass(frozen=True)
class VersionDirectory:
    """The directory of a version.

    Attributes:
      path: Path of the directory.
      fingerprint: Times and sizes of the files, which change when they are
        replaced, so that a version whose load failed is loaded again at once.
    """

    path: str
    fingerprint: tuple[Any, ...]


def find_versions(base: str) -> dict[int, VersionDirectory]:
    """Find the versions in a directory by number; other names are ignored.

    Of several names for a number the shortest counts: `1`, and not `01`.

    Raises:
      OSError: The directory cannot be read.
    """
    base = base.rstrip("/")
    files = _files_of(base)
    found = {}
    for name in sorted(files.names(base or "/"), key=len, reverse=True):
        path = f"{base}/{name}"
        if is_version(name) and files.is_directory(path):
            paths = [path]
            for folder, prefix in (
                (path, "saved_model.pb"),
                (f"{path}/variables", ""),
                (f"{path}/assets", ""),
                (f"{path}/assets.extra", ""),
            ):
                inside = files.names(folder) if files.is_directory(folder) else []
                paths += [f"{folder}/{each}" for each in sorted(inside) if each.startswith(prefix)]
            found[int(name)] = VersionDirectory(path, tuple(map(files.fingerprint, paths)))
    return found


def is_copied(path: str) -> bool:
    """Return whether a path is the URL of a store that TensorFlow cannot read, such as `s3://`."""
    if not is_url(path):
        return False
    import tensorflow as tf

    return path.partition("://")[0] not in tf.io.gfile.get_registered_schemes()


def copy_version(url: str) -> tempfile.TemporaryDirectory[str]:
    """Copy a version from a store to a temporary directory of this machine.

    Raises:
      HlnError: The store cannot be read, or the copy cannot be written.
    """
    copy = tempfile.TemporaryDirectory(prefix="hln-tf-version-", ignore_cleanup_errors=True)
    try:
        stores.fetch(url, Path(copy.name), stores.list_files(url))
    except OSError as error:
        copy.cleanup()
        raise HlnError(
            f"{url} cannot be copied to {copy.name} ({error.strerror}): make room there, or name "
            f"another directory by the environment variable TMPDIR"
        ) from None
    return copy


def check_versions(settings: ModelSettings) -> None:
    """Check that the versions that the settings name exist.

    Raises:
      HlnError: There is no version, or one named by number or label is missing.
    """
    base = settings.model_base_path
    try:
        found = find_versions(base)
    except (FileNotFoundError, NotADirectoryError):
        raise HlnError(f"--model_base_path {base} is not a directory: {_EXPECTED}") from None
    except OSError as error:
        raise HlnError(
            f"--model_base_path {base} cannot be read ({error.strerror or error}): {_EXPECTED}"
        ) from None
    if not found:
        raise HlnError(f"--model_base_path {base} holds no version of a model: {_EXPECTED}")
    named = set(settings.labels().values()) | (settings.versions() or set())
    for version in sorted(named - found.keys()):
        raise HlnError(
            f"--model_base_path {base} has no version {version}, which --served_versions or "
            f"--version_labels asks for; it has: {', '.join(map(str, sorted(found)))}"
        )


_EXPECTED = (
    "name a directory with NUMBER/saved_model.pb in it, as python -m serving.export writes it"
)


def _files_of(base: str) -> "_LocalFiles | _RemoteFiles | _StoreFiles":
    if is_copied(base):
        return _StoreFiles(base)
    return _RemoteFiles() if is_url(base) else _LocalFiles()


class _LocalFiles:
    """Files of the operating system, without TensorFlow."""

    def names(self, path: str) -> list[str]:
        return os.listdir(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def fingerprint(self, path: str) -> tuple[int, ...]:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return ()
        # A change of permissions changes the last of the times only.
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class _RemoteFiles:
    """Files of the file systems that TensorFlow knows by the scheme of their paths."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf

    def names(self, path: str) -> list[str]:
        try:
            # Object stores list directories with a slash.
            return [name.rstrip("/") for name in self._tf.io.gfile.listdir(path)]
        except self._tf.errors.NotFoundError as error:
            raise FileNotFoundError(error.message) from None
        except self._tf.errors.OpError as error:
            raise OSError(error.message) from None

    def is_directory(self, path: str) -> bool:
        try:
            return bool(self._tf.io.gfile.isdir(path))
        except self._tf.errors.OpError as error:
            raise OSError(error.message) from None

    def fingerprint(self, path: str) -> tuple[int, ...]:
        try:
            status = self._tf.io.gfile.stat(path)
        except self._tf.errors.OpError:
            return ()
        return status.length, status.mtime_nsec


class _StoreFiles:
    """Files of a store that fsspec knows, as one listing has them."""

    def __init__(self, base: str) -> None:
        try:
            found = stores.list_files(base)
        except HlnError as error:
            raise OSError(str(error)) from None
        if not found:
            raise FileNotFoundError(base)
        self._files = {f"{base}/{name}": file for name, file in found.items()}

    def names(self, path: str) -> set[str]:
        start = f"{path}/"
        inside = (each.removeprefix(start) for each in self._files if each.startswith(start))
        return {name.partition("/")[0] for name in inside}

    def is_directory(self, path: str) -> bool:
        return bool(self.names(path))

    def fingerprint(self, path: str) -> tuple[str, ...]:
        return (repr(self._files.get(path)),)
