"""The raw files that `--input` names: files, directories and patterns.

Nothing here imports Beam; URLs are expanded by `beam_preprocess.storage`.
"""

import glob
import os
from collections.abc import Iterable, Sequence

from hln_tf.common.errors import HlnError

_SHOWN = 3  # files that a message names
HIDDEN = (".", "_")  # how a name begins that is no log, such as _SUCCESS
_REMEDY = "give the path of a raw log to --input"


def expand_inputs(inputs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Replace directories and patterns on this machine by the files in them.

    Args:
      inputs: Paths of files, of directories, whose files are read on all levels but
        for hidden ones (`.name`, `_name`), or patterns such as `clicks/*.csv`;
        URLs, which are not changed.

    Raises:
      HlnError: One names no file.
    """
    return [path for given in map(str, inputs) for path in _expand(given)]


def describe_files(paths: Sequence[str | os.PathLike[str]]) -> str:
    """List paths, of many the first few and the number."""
    names = [str(path) for path in paths]
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _expand(given: str) -> list[str]:
    if "://" in given:
        return [given]
    if os.path.isdir(given):
        paths = [given]
    elif os.path.lexists(given):
        return [given]
    elif glob.has_magic(given):
        found = glob.glob(given, recursive=True)
        paths = [path for path in found if not os.path.basename(path).startswith(HIDDEN)]
        if not paths:
            raise HlnError(f"{given} matches no file: {_REMEDY}")
    else:
        raise HlnError(f"{given} does not exist: {_REMEDY}")
    files = {path for each in paths for path in (_walk(each) if os.path.isdir(each) else [each])}
    if not files:
        raise HlnError(f"{given} holds no file: {_REMEDY}")
    return sorted(files)


def _walk(directory: str) -> Iterable[str]:
    visited = set()  # links may lead back

    def fail(error: OSError) -> None:
        raise error

    for parent, names, files in os.walk(directory, onerror=fail, followlinks=True):
        visited.add(os.path.realpath(parent))
        names[:] = [
            name
            for name in names
            if not name.startswith(HIDDEN)
            and os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        yield from (os.path.join(parent, name) for name in files if not name.startswith(HIDDEN))
