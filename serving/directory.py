"""The directory of a model: `NUMBER/saved_model.pb` for each version."""

import dataclasses
from pathlib import Path

from hln_tf.common.errors import HlnError
from hln_tf.common.text import is_version
from serving.settings import ModelSettings


@dataclasses.dataclass(frozen=True)
class VersionDirectory:
    """The directory of a version.

    Attributes:
      path: Path of the directory.
      modified: Modification times, which change when files are replaced, so
        that a version whose load failed is loaded again.
    """

    path: Path
    modified: tuple[int, ...]


def find_versions(base: Path) -> dict[int, VersionDirectory]:
    """Find the versions in a directory by number; other names are ignored.

    Of several names for a number the shortest counts: `1`, and not `01`.

    Raises:
      OSError: The directory cannot be read.
    """
    found = {}
    for entry in sorted(base.iterdir(), key=lambda entry: len(entry.name), reverse=True):
        if is_version(entry.name) and entry.is_dir():
            paths = [
                entry,
                *sorted(entry.glob("saved_model.pb*")),
                *sorted(entry.glob("variables/*")),
                *sorted(entry.glob("assets.extra/*")),
            ]
            modified = tuple(map(_modification_time, paths))
            found[int(entry.name)] = VersionDirectory(entry, modified)
    return found


def check_versions(settings: ModelSettings) -> None:
    """Check that the versions that the settings name exist.

    Raises:
      HlnError: There is no version, or one named by number or label is missing.
    """
    base = Path(settings.model_base_path)
    if not base.is_dir():
        raise HlnError(f"--model_base_path {base} is not a directory: {_EXPECTED}")
    found = find_versions(base)
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


def _modification_time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
