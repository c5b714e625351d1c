"""Session shards as TFRecord files."""

import dataclasses
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from beam_preprocess.sessions import Sessions, concatenated, rows
from hln_tf.cli import import_tensorflow
from hln_tf.data.layout import COMPRESSED_SUFFIX, SESSIONS_PER_RECORD, record_compression
from hln_tf.errors import HlnError
from hln_tf.files import written_whole

_importing = threading.Lock()  # the import turns standard error aside for the whole process


@dataclasses.dataclass(frozen=True)
class Shard:
    """What a written shard holds.

    Attributes:
      split: One of `hln_tf.data.layout.SPLITS`.
      file: Path relative to the data set directory.
      sessions: Number of sessions.
      clicks: Number of clicks.
      items: The items that occur, sorted, int32 [items].
      targets: How often each of `items` is the target of a sample, int64 [items].
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
    pieces: Iterable[tuple[int, Sessions]],
) -> Shard:
    """Writes one file.

    Args:
      directory: The data set directory.
      split: One of `hln_tf.data.layout.SPLITS`.
      shard: Number of the shard.
      shards: Number of shards of the split.
      compression: `none` or `gzip`.
      pieces: Sessions, each piece with the rank of its first one.

    Raises:
      HlnError: The file cannot be written.
    """
    ordered = [piece for _, piece in sorted(pieces, key=lambda piece: piece[0])]
    sessions = concatenated(ordered)
    file = f"{split}/{shard:05d}-of-{shards:05d}.tfrecord"
    if compression == "gzip":
        file += COMPRESSED_SUFFIX
    _write_records(Path(directory) / file, sessions)
    is_target = np.ones(sessions.clicks, bool)
    is_target[sessions.offsets[:-1]] = False
    items, index = np.unique(sessions.items, return_inverse=True)
    targets = np.bincount(index[is_target], minlength=len(items))
    return Shard(split, file, len(sessions), sessions.clicks, items, targets)


def _write_records(path: Path, sessions: Sessions) -> None:
    with _importing:
        import_tensorflow()
    import tensorflow as tf

    options = tf.io.TFRecordOptions(compression_type=record_compression(path.name))
    try:
        with (
            written_whole(path) as temporary,
            tf.io.TFRecordWriter(str(temporary), options) as writer,
        ):
            for start in range(0, len(sessions), SESSIONS_PER_RECORD):
                end = min(start + SESSIONS_PER_RECORD, len(sessions))
                writer.write(_record(tf, rows(sessions, start, end)))
    except tf.errors.OpError as error:
        reason = error.message.rpartition("; ")[2]
        raise HlnError(
            f"{path.parent.name}/{path.name} of the data set cannot be written ({reason}): "
            "free some space and run the same command again"
        ) from None


def _record(tf: Any, sessions: Sessions) -> bytes:
    columns = {"lengths": sessions.lengths, "dates": sessions.dates, "items": sessions.items}
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))
        for name, values in columns.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)
