"""SKNN: the items of the train sessions that are most like the session."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.counter import SessionCounter
from hln_tf.models.settings import SKNNSettings


class Neighbors(NamedTuple):
    """The neighbours of a batch of sessions, query after query, the nearest first.

    Attributes:
      queries: int64 [neighbours], which session of the batch each belongs to.
      sessions: int32 [neighbours], numbers of the train sessions.
      similarities: float32 [neighbours], their cosines with the session.
    """

    queries: tf.Tensor
    sessions: tf.Tensor
    similarities: tf.Tensor


@keras.utils.register_keras_serializable("hln_tf")
class SKNN(SessionCounter):
    """Session-based nearest neighbours (Jannach & Ludewig, 2017).

    Of the `sample_size` most recent train sessions that share an item with the
    session, the `neighbors` nearest by the cosine of the sets of items,
    |A & B| / sqrt(|A| |B|), are its neighbours; of equally near ones, the more
    recent. An item's score is the sum of the similarities of the neighbours that
    hold it; items that none of them holds have the score 0.

    Train sessions are numbered by recency, 0 for the latest; of equal dates, the
    later in the log is the more recent. The index is two sparse matrices in rows
    (CSR): each session's distinct items, and for each item the latest
    `sample_size` sessions that hold it. More are never needed: a session that
    is not among these has as many more recent ones that share the item, so it is
    in no sample of a session with that item.

    Attributes:
      session_splits: int64 [sessions + 1], rows of `session_items`.
      session_items: int32 [entries], item indices from 1.
      item_splits: int64 [items + 1], rows of `item_sessions`.
      item_sessions: int32 [entries], session numbers, in ascending order in each row.
    """

    Settings = SKNNSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)

        def variable(
            name: str, dtype: tf.DType, length: int, shape: list[int | None]
        ) -> tf.Variable:
            return tf.Variable(tf.zeros([length], dtype), trainable=False, shape=shape, name=name)

        self.session_splits = variable("session_splits", tf.int64, 1, [None])
        self.session_items = variable("session_items", tf.int32, 0, [None])
        self.item_splits = variable("item_splits", tf.int64, num_items + 1, [num_items + 1])
        self.item_sessions = variable("item_sessions", tf.int32, 0, [None])

    def fit_counts(self, sessions: Any) -> Sessions:
        """Index the sessions."""
        sessions = super().fit_counts(sessions)
        number = np.empty(len(sessions), np.int64)
        number[np.argsort(sessions.dates, kind="stable")[::-1]] = np.arange(len(sessions))
        width = self.num_items + 1
        entries = np.unique(np.repeat(number, sessions.lengths) * width + sessions.items)
        holders, items = entries // width, entries % width
        self.session_splits.assign(_splits(holders, len(sessions)))
        self.session_items.assign(items.astype(np.int32))
        by_item = np.argsort(items, kind="stable")
        holders, columns = holders[by_item], items[by_item] - 1
        place = np.arange(len(columns)) - _splits(columns, self.num_items)[columns]
        is_latest = place < self.settings.sample_size
        self.item_splits.assign(_splits(columns[is_latest], self.num_items))
        self.item_sessions.assign(holders[is_latest].astype(np.int32))
        return sessions

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`.

        An item's similarities are added from the highest to the lowest, so that
        equal ones have equal sums, whatever sessions they come from.
        """
        near = self.neighbors(items)
        of, stored = _entries(self.session_splits, self.session_items, near.sessions)
        columns = tf.cast(stored, tf.int64) - 1
        indices = tf.stack([tf.gather(near.queries, of), columns], axis=1)
        shape = tf.stack([tf.shape(items, tf.int64)[0], self.num_items])
        return tf.scatter_nd(indices, tf.gather(near.similarities, of), shape)

    def neighbors(self, items: tf.Tensor) -> Neighbors:
        """Find the neighbours of sessions.

        Nearness is compared as |A & B|^2 / |B|, a quotient of whole numbers: equal
        cosines have equal quotients in float32, where their roots may differ.

        Args:
          items: int32 [batch, time], padded with 0.
        """
        ordered = tf.sort(items, axis=1)
        is_distinct = (ordered > 0) & (ordered != tf.pad(ordered, [[0, 0], [1, 0]])[:, :-1])
        sample, shared = self._sample(ordered, is_distinct)
        sizes = _lengths(self.session_splits, sample.values)
        nearness = tf.cast(shared**2, tf.float32) / tf.cast(sizes, tf.float32)
        dense = sample.with_values(nearness).to_tensor(default_value=-1.0)
        k = tf.minimum(self.settings.neighbors, tf.shape(dense)[1])
        nearest, positions = tf.math.top_k(dense, k)
        found = tf.where(nearest > 0)
        queries = found[:, 0]
        positions = tf.gather(sample.row_starts(), queries) + tf.cast(
            tf.gather_nd(positions, found), tf.int64
        )
        distinct = tf.math.count_nonzero(is_distinct, axis=1, dtype=tf.float32)
        return Neighbors(
            queries,
            tf.gather(sample.values, positions),
            tf.sqrt(tf.gather_nd(nearest, found) / tf.gather(distinct, queries)),
        )

    def _sample(
        self, items: tf.Tensor, is_distinct: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Find the latest train sessions that share an item with sessions.

        Args:
          items: int32 [batch, time].
          is_distinct: bool [batch, time], which of the items count.

        Returns:
          int32 [batch, (sessions)], ascending; and how many items each shares, int64,
          one for each of its values.
        """
        clicks = tf.where(is_distinct)
        of, sessions = _entries(
            self.item_splits, self.item_sessions, tf.gather_nd(items, clicks) - 1
        )
        # One key for each pair of query and session: sorted, those of a pair are adjacent.
        size = tf.maximum(tf.size(self.session_splits, tf.int64) - 1, 1)
        keys = tf.sort(tf.gather(clicks[:, 0], of) * size + tf.cast(sessions, tf.int64))
        starts = tf.where(keys != tf.pad(keys, [[1, 0]], constant_values=-1)[:-1])[:, 0]
        ends = tf.pad(starts, [[0, 1]], constant_values=tf.size(keys, tf.int64))[1:]
        keys = tf.gather(keys, starts)
        batch = tf.shape(items, tf.int64)[0]
        sharing = tf.RaggedTensor.from_value_rowids(
            tf.stack([keys % size, ends - starts], axis=1), keys // size, batch, validate=False
        )
        sample = sharing[:, : self.settings.sample_size]
        return sample.with_values(tf.cast(sample.values[:, 0], tf.int32)), sample.values[:, 1]


def _splits(rows: np.ndarray, num_rows: int) -> np.ndarray:
    """Compute where each row starts and the last one ends; `rows`, int [entries], ascend."""
    return np.searchsorted(rows, np.arange(num_rows + 1))


def _lengths(splits: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Compute the lengths of rows of a sparse matrix, int64 [rows]."""
    return tf.gather(splits, rows + 1) - tf.gather(splits, rows)


def _entries(splits: tf.Tensor, values: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gather the values in rows of a sparse matrix, row after row.

    Args:
      splits: int64, where each row starts and the last one ends.
      values: [entries].
      rows: int [rows].

    Returns:
      Which of `rows` each value belongs to, int64, and the values.
    """
    positions = tf.ragged.range(tf.gather(splits, rows), tf.gather(splits, rows + 1))
    return positions.value_rowids(), tf.gather(values, positions.values)
