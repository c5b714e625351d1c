"""Sessions in columns, and their TFRecords."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hln_tf.common.errors import HlnError
from hln_tf.common.files import Location, as_location, join
from hln_tf.data import stores
from hln_tf.data.layout import EXTRA_PREFIX, Manifest, record_compression

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Sessions as flat columns.

    Attributes:
      items: int32 [clicks], item indices, session after session; 0 in a test part that
        has clicks on items which full train lacks (`unseen_targets` is `miss`).
      offsets: int64 [sessions + 1]; session s is `items[offsets[s]:offsets[s + 1]]`.
      dates: int64 [sessions], seconds since 1970 UTC.
      extra: Table [clicks] of the extra columns of the log, where they are loaded, each
        named with `EXTRA_PREFIX`, of texts (large_string); null is a missing value.
        None without one.
    """

    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    dates: npt.NDArray[np.int64]
    extra: "pa.Table | None" = None

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def prefixes(self) -> int:
        """Number of examples after prefix augmentation."""
        return len(self.items) - len(self)

    def __add__(self, later: "Sessions") -> "Sessions":
        return Sessions(
            items=np.concatenate([self.items, later.items]),
            offsets=np.concatenate([self.offsets, later.offsets[1:] + self.offsets[-1]]),
            dates=np.concatenate([self.dates, later.dates]),
            extra=concatenate_extra([self.extra, later.extra]),
        )

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Clicks of each session, int64 [sessions]."""
        return np.diff(self.offsets)

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """The target of each example, every click but a session's first, int32 [examples]."""
        return self.of_targets(self.items)

    def of_targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Select from values of all clicks, [clicks], those of the targets, [examples]."""
        is_target = np.ones(len(self.items), bool)
        is_target[self.offsets[:-1]] = False
        return values[is_target]

    def by_item(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Order clicks by session, then by item, then by time.

        Returns:
          The clicks in this order, int64 [clicks], and whether the next one is on the
          same item in the same session, bool [clicks - 1].
        """
        session = np.repeat(np.arange(len(self)), self.lengths)
        order = np.lexsort((self.items, session))  # stable
        same = (np.diff(session[order]) == 0) & (np.diff(self.items[order]) == 0)
        return order, same

    def known(self) -> "Sessions":
        """Select the clicks that have an item index, in sessions of two or more of them."""
        if self.items.all():
            return self
        is_known = self.items > 0
        offsets = np.concatenate([[0], np.cumsum(is_known)])[self.offsets]
        extra = select_extra(self.extra, is_known)
        known = Sessions(self.items[is_known], offsets, self.dates, extra)
        return known.where(known.lengths > 1)

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Sessions":
        """Select the sessions for which `chosen`, bool [sessions], is true."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64)
        clicks = np.repeat(chosen, self.lengths)
        extra = select_extra(self.extra, clicks)
        return Sessions(self.items[clicks], offsets, self.dates[chosen], extra)

    def latest(self, count: int) -> "Sessions":
        """Select the last `count` sessions, or all if there are fewer."""
        return self.where(np.arange(len(self)) >= len(self) - count)

    @classmethod
    def from_lists(cls, sessions: Iterable[Sequence[int] | npt.NDArray[np.int32]]) -> "Sessions":
        """Make sessions from the item indices of each, dated 0, 1, 2, ..."""
        items = [np.asarray(session, np.int32) for session in sessions]
        lengths = [len(session) for session in items]
        return cls(
            items=np.concatenate([np.empty(0, np.int32), *items]),
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            dates=np.arange(len(items), dtype=np.int64),
        )


def select_extra(extra: "pa.Table | None", clicks: npt.NDArray[Any]) -> "pa.Table | None":
    """Select the values of clicks, bool [clicks] or int64 positions, from extra columns, if any."""
    if extra is None:
        return None
    return extra.filter(clicks) if clicks.dtype == bool else extra.take(clicks)


def concatenate_extra(parts: "Sequence[pa.Table | None]") -> "pa.Table | None":
    """Concatenate the extra columns of all parts, which have the same ones or none."""
    tables = [part for part in parts if part is not None]
    if not tables:
        return None
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()


def read_split(
    directory: Location, split: str, unknown: bool = False, extra: bool = False
) -> Sessions:
    """Read one part of a finished data set into memory.

    Args:
      directory: The data set directory, or its URL.
      split: `train`, `validation` or `test`.
      unknown: Whether to retain clicks without an item index, which a test part may
        have, as item 0; by default they are left out, see `Sessions.known`.
      extra: Whether to read the extra columns of the log, too.

    Raises:
      HlnError: A shard is missing, corrupt or truncated, or the counts differ
        from the manifest's.
    """
    import tensorflow as tf

    directory = as_location(directory)
    manifest = Manifest.read(directory)
    expected = manifest.splits[split]
    features = {
        name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
        for name in ("lengths", "items", "dates")
    }
    texts = [f"{EXTRA_PREFIX}{name}" for name in manifest.extra_columns] if extra else []
    features |= {name: tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64) for name in texts}
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in features}
    copy = stores.local_copy(directory, expected.files)
    for name in expected.files:
        path = join(directory, name)
        remedy = f"write the data set in {directory} again with python -m beam_preprocess"
        if not (copy / name).is_file():
            raise HlnError(f"{path} does not exist: {remedy}")
        try:
            for record in tf.data.TFRecordDataset(str(copy / name), record_compression(name)):
                for column, values in tf.io.parse_single_example(record, features).items():
                    columns[column].append(values.numpy())
        except tf.errors.OpError as error:
            reason = error.message.split(" [Op:")[0]
            raise HlnError(
                f"{path} is corrupt or truncated or unreadable ({reason}): {remedy}"
            ) from None
    extra_columns = _extra_table({name: columns.pop(name) for name in texts}) if texts else None
    flat = {
        name: np.concatenate([np.empty(0, np.int64), *parts]) for name, parts in columns.items()
    }
    sessions = Sessions(
        items=flat["items"].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(flat["lengths"])]).astype(np.int64),
        dates=flat["dates"],
        extra=extra_columns,
    )
    found = (len(sessions), len(sessions.items), int(sessions.offsets[-1]))
    of_extra = len(sessions.items) if extra_columns is None else extra_columns.num_rows
    if (*found, of_extra) != (expected.sessions, *[expected.clicks] * 3):
        raise HlnError(
            f"{join(directory, split)} contains {found[0]} sessions and {found[1]} clicks but the "
            f"manifest says {expected.sessions} and {expected.clicks}: "
            f"write the data set again with python -m beam_preprocess"
        )
    lowest = 0 if split == "test" and manifest.settings.get("unseen_targets") == "miss" else 1
    items = flat["items"]
    if len(items) and not lowest <= items.min() <= items.max() <= manifest.items:
        raise HlnError(
            f"{join(directory, split)} contains item indices outside {lowest} to {manifest.items}: "
            f"write the data set again with python -m beam_preprocess"
        )
    return sessions if unknown else sessions.known()


def _extra_table(columns: Mapping[str, Sequence[npt.NDArray[np.object_]]]) -> "pa.Table":
    """Decode the texts of extra columns, of which each record has an array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = {
        name: pa.array(itertools.chain.from_iterable(parts), pa.large_binary())
        for name, parts in columns.items()
    }
    return pa.table(
        {
            name: pc.if_else(pc.equal(text, b""), None, text).cast(pa.large_string())
            for name, text in texts.items()
        }
    )


def count_unseen(targets: npt.NDArray[np.int32], seen: Sequence[Sessions]) -> int:
    """Count the targets on items that sessions lack.

    Args:
      targets: Item indices; 0 is an item that no session has.
      seen: The sessions.
    """
    return int(np.sum(~np.isin(targets, np.concatenate([part.items for part in seen]))))


def read_sessions(
    directory: Location, split: str, unknown: bool = False, extra: bool = False
) -> Sessions:
    """Read a split that has at least one example; see `read_split`.

    Raises:
      HlnError: It has no session of two or more clicks, or it is damaged.
    """
    sessions = read_split(directory, split, unknown, extra)
    if sessions.prefixes < 1:
        raise HlnError(
            f"{join(directory, split)} has no session of two or more clicks: prepare a data set "
            f"with more sessions, or with another `validation_fraction` or `test_seconds`"
        )
    return sessions
