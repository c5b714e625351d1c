"""Writing of session shards as TFRecord files."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from beam_preprocess import storage
from beam_preprocess.tfrecord import byte_strings, example, varints, write_record
from hln_tf.common.errors import HlnError
from hln_tf.common.files import join
from hln_tf.data.layout import COMPRESSED_SUFFIX, SESSIONS_PER_RECORD, record_compression
from hln_tf.data.parts import PartShape
from hln_tf.data.session_columns import SessionColumns, concatenate, slice_sessions

_ENCODED = 64 * SESSIONS_PER_RECORD  # sessions encoded at a time


class UnwritableError(HlnError):
    """A file of the data set cannot be written, for a reason that another try would meet too."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """The content of a shard that was written.

    Attributes:
      split: One of `hln_tf.data.layout.SPLITS`.
      file: Path relative to the data set directory.
      shape: Its counts and dates.
      items: The items that occur, sorted, int32 [items]; 0: of items without an index.
      targets: How often each of `items` is the target of an example, int64 [items].
    """

    split: str
    file: str
    shape: PartShape
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
      UnwritableError: The file cannot be written, as when the disk is full.
      OSError: It cannot be written for a reason that may pass.
    """
    ordered = [piece for _, piece in sorted(pieces, key=lambda piece: piece[0])]
    sessions = concatenate(ordered)
    file = f"{split}/{shard:05d}-of-{shards:05d}.tfrecord"
    if compression == "gzip":
        file += COMPRESSED_SUFFIX
    _write_records(directory, file, sessions)
    is_target = np.ones(sessions.clicks, bool)
    is_target[sessions.offsets[:-1]] = False
    items, index = np.unique(sessions.items, return_inverse=True)
    targets = np.bincount(index[is_target], minlength=len(items))
    shape = PartShape.from_columns(sessions.lengths, sessions.dates)
    return Shard(split, file, shape, items, targets)


def _write_records(directory: str, name: str, sessions: SessionColumns) -> None:
    compressed = bool(record_compression(name))
    try:
        with storage.create_file(join(directory, name), directory, compressed) as file:
            for start in range(0, len(sessions), _ENCODED):
                end = min(start + _ENCODED, len(sessions))
                for record in _records(slice_sessions(sessions, start, end)):
                    write_record(file, record)
    except OSError as error:
        if error.errno is None:  # a remote file system's: the engine may try again
            raise
        raise UnwritableError(
            f"{name} of the data set cannot be written ({error.strerror}): "
            "free some space and run the same command again"
        ) from None


def _records(sessions: SessionColumns) -> Iterator[bytes]:
    each = np.arange(len(sessions) + 1)
    columns = {
        "lengths": (*varints(sessions.lengths), each),
        "dates": (*varints(sessions.dates), each),
        "items": (*varints(sessions.items), sessions.offsets),
    }
    texts = {}
    if sessions.extra is not None:
        for name, column in zip(sessions.extra.column_names, sessions.extra.columns, strict=True):
            texts[name] = (*byte_strings(column.combine_chunks()), sessions.offsets)
    for start in range(0, len(sessions), SESSIONS_PER_RECORD):
        end = min(start + SESSIONS_PER_RECORD, len(sessions))
        integers, strings = (
            {
                name: data[bounds[first[start]] : bounds[first[end]]]
                for name, (data, bounds, first) in encoded.items()
            }
            for encoded in (columns, texts)
        )
        yield example(integers, strings)
