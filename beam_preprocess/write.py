"""Writing of session shards as TFRecord files."""

import contextlib
import dataclasses
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from beam_preprocess.spill import unwritable
from beam_preprocess.tfrecord import example, varints, write_record
from hln_tf.common.files import atomic_write
from hln_tf.data.layout import COMPRESSED_SUFFIX, SESSIONS_PER_RECORD, record_compression
from hln_tf.data.session_columns import SessionColumns, concatenate, slice_sessions

_ENCODED = 64 * SESSIONS_PER_RECORD  # sessions encoded at a time


@dataclasses.dataclass(frozen=True)
class Shard:
    """The content of a shard that was written.

    Attributes:
      split: One of `hln_tf.data.layout.SPLITS`.
      file: Path relative to the data set directory.
      sessions: Number of sessions.
      clicks: Number of clicks.
      items: The items that occur, sorted, int32 [items].
      targets: How often each of `items` is the target of an example, int64 [items].
    """

    split: str
    file: str
    sessions: int
    clicks: int
    items: np.ndarray
    targets: np.ndarray


def write_shard(
    directory: str,
    split: str,
    shard: int,
    shards: int,
    compression: str,
    pieces: Iterable[tuple[int, SessionColumns]],
) -> Shard:
    """Write one file.

    Args:
      directory: The data set directory.
      split: One of `hln_tf.data.layout.SPLITS`.
      shard: Index of the shard.
      shards: Number of shards of the split.
      compression: `none` or `gzip`.
      pieces: Sessions, each piece with the rank of its first one.

    Raises:
      HlnError: The file cannot be written.
    """
    ordered = [piece for _, piece in sorted(pieces, key=lambda piece: piece[0])]
    sessions = concatenate(ordered)
    file = f"{split}/{shard:05d}-of-{shards:05d}.tfrecord"
    if compression == "gzip":
        file += COMPRESSED_SUFFIX
    _write_records(Path(directory) / file, sessions)
    is_target = np.ones(sessions.clicks, bool)
    is_target[sessions.offsets[:-1]] = False
    items, index = np.unique(sessions.items, return_inverse=True)
    targets = np.bincount(index[is_target], minlength=len(items))
    return Shard(split, file, len(sessions), sessions.clicks, items, targets)


def _write_records(path: Path, sessions: SessionColumns) -> None:
    opened: Any = _gzip if record_compression(path.name) else open
    try:
        with atomic_write(path) as temporary, opened(temporary, "wb") as file:
            for start in range(0, len(sessions), _ENCODED):
                end = min(start + _ENCODED, len(sessions))
                for record in _records(slice_sessions(sessions, start, end)):
                    write_record(file, record)
    except OSError as error:
        raise unwritable(f"{path.parent.name}/{path.name} of the data set", error) from None


@contextlib.contextmanager
def _gzip(path: Path, mode: str) -> Iterator[BinaryIO]:
    # Without name and time in the header, so that equal sessions give equal files.
    with open(path, mode) as file, gzip.GzipFile("", mode, fileobj=file, mtime=0) as stream:
        yield stream  # type: ignore[misc]


def _records(sessions: SessionColumns) -> Iterator[bytes]:
    each = np.arange(len(sessions) + 1)
    columns = {
        "lengths": (*varints(sessions.lengths), each),
        "dates": (*varints(sessions.dates), each),
        "items": (*varints(sessions.items), sessions.offsets),
    }
    for start in range(0, len(sessions), SESSIONS_PER_RECORD):
        end = min(start + SESSIONS_PER_RECORD, len(sessions))
        yield example(
            {
                name: text[bounds[first[start]] : bounds[first[end]]]
                for name, (text, bounds, first) in columns.items()
            }
        )
