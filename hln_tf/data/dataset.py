"""Data sets of sessions, from a directory or from a DataFrame of clicks."""

import dataclasses
import datetime
import functools
import hashlib
import itertools
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hln_tf.common.errors import HlnError, SettingError, UsageError
from hln_tf.common.files import Location, as_location
from hln_tf.common.settings import from_dict
from hln_tf.data import stores
from hln_tf.data.layout import SPLITS, Manifest, read_vocabulary, record_compression
from hln_tf.data.prefixes import BATCHES_PER_POOL, Prefixes
from hln_tf.data.protocol_settings import PART_FILES, ProtocolSettings
from hln_tf.data.sessions import Sessions, read_split

if TYPE_CHECKING:
    import tensorflow as tf

# Records that are shuffled together when a data set is streamed.
RECORDS_TO_SHUFFLE = 64


@dataclasses.dataclass(frozen=True, repr=False)
class SessionDataset:
    """Sessions of a catalogue of items in the parts train, validation and test.

    Attributes:
      name: Name of the data set.
      item_ids: The item ids in order of their indices; item i is at position i - 1.
      separator: Joins the item ids of a session that is written as one string.
      fingerprint: Checksum of its sessions or, in a directory, of its input and
        settings.
      directory: The data set directory or its URL, or None.
      in_memory: The parts that are in memory.
      clicks_left: Clicks that were read and that each filter left, in the order of
        the filters; empty for a directory, whose `stats.json` has them.
      warnings: What is unlikely to be meant, one sentence each; as `clicks_left`.

    Example:
    >>> import pandas as pd
    >>> clicks = pd.DataFrame(
    ...     {"visit": [1, 1, 1, 2, 2, 2], "sku": list("abcabd"), "at": range(6)}
    ... )
    >>> data = SessionDataset.from_clicks(
    ...     clicks, session="visit", item="sku", time="at", min_item_count=1, test_seconds=0,
    ...     validation_fraction="0",
    ... )
    >>> data.item_ids
    ['a', 'b', 'c', 'd']
    >>> [batch["target"].numpy().tolist() for batch in data.examples(2, shuffle=False)]
    [[2, 2], [3, 4]]
    """

    name: str
    item_ids: Sequence[str]
    separator: str
    fingerprint: str
    directory: Location | None = None
    in_memory: dict[str, Sessions] = dataclasses.field(default_factory=dict)
    clicks_left: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warnings: Sequence[str] = ()

    def __repr__(self) -> str:
        parts = (f"{len(sessions):,} {part}" for part, sessions in self.in_memory.items())
        where = self.directory or f"{', '.join(parts)} sessions"
        return f"SessionDataset({self.name!r}, {self.num_items:,} items, {where})"

    @classmethod
    def from_directory(cls, directory: Location) -> "SessionDataset":
        """Open a data set directory that `python -m beam_preprocess` wrote.

        Args:
          directory: The directory, or its URL: see `hln_tf.data.stores`.

        Raises:
          HlnError: The directory is missing, unfinished or damaged.
        """
        directory = as_location(directory)
        manifest = Manifest.read(directory)
        item_ids = read_vocabulary(directory, manifest)
        fingerprint = manifest.fingerprint()
        return cls(manifest.dataset, item_ids, manifest.separator, fingerprint, directory)

    @classmethod
    def from_clicks(
        cls,
        clicks: Any,
        *,
        item: str | Sequence[str],
        time: str,
        session: str | None = None,
        user: str | None = None,
        separator: str = " ",
        name: str = "custom",
        known_items: Sequence[str] = (),
        validation: Any = None,
        test: Any = None,
        **protocol: Any,
    ) -> "SessionDataset":
        """Make a data set from a table of clicks, in memory.

        Args:
          clicks: A pandas or Polars DataFrame, an Arrow table, or anything with the
            method `__arrow_c_stream__`; a click in each row.
          item: Column of the item, or several whose values are joined by " / ", or by
            "/" where the separator is a space.
          time: Column of the time: datetimes, ISO 8601 text, or seconds,
            milliseconds, microseconds or nanoseconds since 1970.
          session: Column of the session.
          user: Column of the user instead, whose clicks `session_timeout` cuts
            into sessions.
          separator: Joins the item ids of a session that is written as one string.
          name: Name of the data set.
          known_items: Ids of the items that a model knows: they have the first
            indices, and `min_item_count` and `top_items` do not drop them.
          validation: A table of the validation part; then `clicks` is train alone, and
            no date separates the parts.
          test: A table of the test part, likewise.
          **protocol: Fields of `hln_tf.ProtocolSettings`, such as `min_item_count`.
            The last day is the test part; `test_seconds=0` leaves it out, as
            `Recommender.fit` does by default. The columns that `extra_columns` names are
            `Sessions.extra` of each part.

        Raises:
          HlnError: A value cannot be used, or nothing is left; the message names
            column, row and value.
          UsageError: An argument is not allowed.
        """
        import pyarrow as pa

        from hln_tf.data.frames import clicks_from_frame
        from hln_tf.data.protocol import prepare_sessions

        has_test = test is not None or (validation is None and protocol.get("test_seconds") != 0)
        if protocol.get("test_seconds") == 0:
            del protocol["test_seconds"]
        tables = [clicks, validation, test]
        if validation is not None or test is not None:
            protocol["part_files"] = PART_FILES[validation is not None]
        settings = protocol_settings(protocol)
        to_clicks = functools.partial(
            clicks_from_frame,
            item=item,
            time=time,
            session=session,
            user=user,
            separator=separator,
            extra=settings.extra_columns,
        )
        of_parts = [
            (index, to_clicks(table))
            for index, table in enumerate(tables)
            if index == 0 or table is not None
        ]
        columns = pa.concat_tables(
            table.append_column("part", pa.repeat(pa.scalar(index, pa.int64()), table.num_rows))
            for index, table in of_parts
        )
        prepared = prepare_sessions(columns, settings, has_test, known_items)
        parts = {part: getattr(prepared, part) for part in SPLITS}
        for item_id in prepared.item_ids:
            if separator in item_id:
                raise HlnError(
                    f"the item id {item_id!r} contains the separator {separator!r}, which joins "
                    f"item ids: choose another `separator`"
                )
        digest = hashlib.sha256("\n".join(prepared.item_ids).encode())
        for sessions in parts.values():
            for column in (sessions.items, sessions.offsets, sessions.dates):
                digest.update(np.ascontiguousarray(column).tobytes())
        left, warnings = prepared.clicks_left, prepared.warnings
        fingerprint, item_ids = digest.hexdigest(), prepared.item_ids
        made = cls(name, item_ids, separator, fingerprint, None, parts, left, warnings)
        return made.with_items(known_items) if known_items else made

    def with_items(self, item_ids: Sequence[str]) -> "SessionDataset":
        """Return the same sessions in a catalogue that begins with other items.

        Args:
          item_ids: Item ids that have the first indices; the data set's own items that
            are not among them follow.
        """
        old = {item_id: index for index, item_id in enumerate(item_ids, start=1)}
        merged = dict(old)
        for item_id in self.item_ids:
            merged.setdefault(item_id, len(merged) + 1)
        mapping = np.array([0, *(merged[item_id] for item_id in self.item_ids)], np.int32)
        parts = {
            part: dataclasses.replace(sessions, items=mapping[sessions.items])
            for part, sessions in ((part, self.split(part, unknown=True)) for part in SPLITS)
        }
        digest = hashlib.sha256(self.fingerprint.encode() + "\n".join(merged).encode())
        return dataclasses.replace(
            self,
            item_ids=list(merged),
            fingerprint=digest.hexdigest(),
            directory=None,
            in_memory=parts,
        )

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.item_ids)

    def split(self, part: str, unknown: bool = False) -> Sessions:
        """Return the sessions of a part, read on first use.

        Args:
          part: `train`, `validation` or `test`.
          unknown: Whether to retain clicks of a test part on items that full train lacks,
            as item 0 (`unseen_targets="miss"`).

        Raises:
          UsageError: There is no such part.
          HlnError: A file is missing or damaged.
        """
        _check_part(part)
        if part not in self.in_memory:
            assert self.directory is not None
            self.in_memory[part] = read_split(self.directory, part, unknown=True)
        return self.in_memory[part] if unknown else self.in_memory[part].known()

    def examples(
        self,
        batch_size: int = 64,
        part: str = "train",
        *,
        max_length: int = 50,
        shuffle: bool | None = None,
        seed: int = 1,
        streamed: bool = False,
    ) -> "tf.data.Dataset":
        """Return a part's examples in batches of like lengths, for `fit` and `evaluate`.

        Args:
          batch_size: Examples in a batch.
          part: `train`, `validation` or `test`.
          max_length: Last clicks of a prefix that are used.
          shuffle: Whether to shuffle, each epoch in another order; by default in
            train alone.
          seed: Fixes the orders.
          streamed: Whether to read the directory's files while iterating, so that
            memory does not grow with the data; orders then differ. Those of a URL are
            copied to this machine first.

        Returns:
          Batches of `{"items": int32 [batch, time], "target": int32 [batch]}`.

        Raises:
          UsageError: There is no such part or no directory to stream from, or a size
            is below 1.
        """
        import tensorflow as tf

        _check_part(part)
        for name, size in (("batch_size", batch_size), ("max_length", max_length)):
            if not isinstance(size, int | np.integer) or size < 1:
                raise SettingError(name, size, "at least 1")
        if shuffle is None:
            shuffle = part == "train"
        if streamed and self.directory is None:
            raise UsageError("`streamed` needs a data set directory: this data set is in memory")
        epochs = itertools.count()

        def batches() -> Iterator[dict[str, np.ndarray]]:
            epoch = next(epochs)
            if streamed:
                pools = self._pools(part, batch_size, seed + epoch if shuffle else None)
            else:
                pools = iter([self.split(part)])
            for pool in pools:
                prefixes = Prefixes.from_sessions(pool, max_length)
                order = prefixes.by_length()
                if shuffle:
                    order = prefixes.shuffled(batch_size, seed, epoch)
                yield from prefixes.batches(order, batch_size)

        items, target = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
        dataset = tf.data.Dataset.from_generator(
            batches, output_signature={"items": items, "target": target}
        )
        if not streamed:
            steps = -(-self.split(part).prefixes // batch_size)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        # There is nothing to tune, and the tuner's thread sleeps for up to a minute, for which
        # Keras would wait after each epoch.
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset.prefetch(2).with_options(options)

    def _pools(self, part: str, batch_size: int, seed: int | None) -> Iterator[Sessions]:
        """Read a part's files in pools of sessions, shuffled by a seed."""
        import tensorflow as tf

        assert self.directory is not None
        manifest = Manifest.read(self.directory)
        names_of_part = manifest.splits[part].files
        copy = stores.local_copy(self.directory, names_of_part)
        files = [str(copy / name) for name in names_of_part]
        if not files:
            return
        compression = record_compression(files[0])
        features = {
            "items": tf.io.RaggedFeature(
                tf.int64, "items", [tf.io.RaggedFeature.RowLengths("lengths")]
            )
        }

        def sessions(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            items = tf.io.parse_single_example(record, features)["items"]
            return items.values, items.row_lengths()

        names = tf.data.Dataset.from_tensor_slices(files)
        if seed is not None:
            names = names.shuffle(len(files), seed)
        records = names.interleave(
            lambda name: tf.data.TFRecordDataset(name, compression), cycle_length=len(files)
        )
        if seed is not None:
            records = records.shuffle(RECORDS_TO_SHUFFLE, seed)
        pool: list[Sessions] = []
        for items, lengths in records.map(sessions).as_numpy_iterator():
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            dates = np.zeros(len(lengths), np.int64)
            pool.append(Sessions(items.astype(np.int32), offsets, dates).known())
            if sum(each.prefixes for each in pool) >= BATCHES_PER_POOL * batch_size:
                yield _concatenated(pool)
                pool = []
        if pool:
            yield _concatenated(pool)


def protocol_settings(values: Mapping[str, Any]) -> ProtocolSettings:
    """Build the settings of a protocol; sessions are in order of time by default.

    Args:
      values: Fields of `ProtocolSettings`; `session_timeout` and `test_seconds` may be
        time differences of pandas, NumPy or Python.

    Raises:
      UsageError: There is no such field, or a value is not allowed.
    """
    seconds = {
        name: _as_seconds(name, values[name])
        for name in ("session_timeout", "test_seconds")
        if name in values
    }
    converted = {"order": "time", **values, **seconds}
    if isinstance(extra := values.get("extra_columns"), list):
        converted["extra_columns"] = tuple(extra)
    return from_dict(ProtocolSettings, converted, "the protocol")


def _as_seconds(name: str, value: Any) -> int:
    """Convert whole seconds, a whole number or a time difference, to an integer."""
    seconds = value
    if isinstance(value, np.timedelta64):
        seconds = value / np.timedelta64(1, "s")
    elif isinstance(value, datetime.timedelta):  # pandas' Timedelta is one
        seconds = value.total_seconds()
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, numbers.Real)
        or not float(seconds).is_integer()
    ):
        raise SettingError(name, value, "whole seconds, such as 1800, or a timedelta of them")
    return int(float(seconds))


def _check_part(part: str) -> None:
    if part not in SPLITS:
        raise SettingError("part", part, f"one of: {', '.join(SPLITS)}")


def _concatenated(parts: Sequence[Sessions]) -> Sessions:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole
