"""Models that recommend the items of the train sessions that are most like the session."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import LatestClicks
from hln_tf.layers.sparse_rows import growing_variable, row_entries, row_splits
from hln_tf.models.counter import SessionCounter

Array = npt.NDArray[np.int64]


class Neighbors(NamedTuple):
    """The neighbours of a batch of sessions, query after query, the nearest first.

    Attributes:
      queries: int64 [neighbours], which session of the batch each belongs to.
      sessions: int32 [neighbours], numbers of the train sessions.
      similarities: float32 [neighbours], theirs to the session.
    """

    queries: tf.Tensor
    sessions: tf.Tensor
    similarities: tf.Tensor


class Entries(NamedTuple):
    """The distinct items of neighbours, neighbour after neighbour.

    Attributes:
      neighbors: int64 [entries], which of the `Neighbors` each belongs to, ascending.
      queries: int64 [entries], which session of the batch each belongs to.
      positions: int64 [entries], in the index's columns with an entry for each item
        of each session.
      items: int32 [entries], item indices.
    """

    neighbors: tf.Tensor
    queries: tf.Tensor
    positions: tf.Tensor
    items: tf.Tensor


class NearestSessions(SessionCounter):
    """A scorer of items by the similarities of the nearest train sessions that hold them.

    Of the `sample_size` most recent train sessions that share an item with the
    session, the `neighbors` nearest are its neighbours; of equally near ones, the
    more recent. An item's score is the sum of the similarities of the neighbours
    that hold it; items that none of them holds have the score 0.

    Subclasses define how near a train session is and how similar, from the sum of
    the weights of the items that it shares with the session, and may weigh a
    neighbour's items.

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

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)

        def splits(name: str, rows: int, shape: list[int | None]) -> tf.Variable:
            empty = tf.zeros([rows + 1], tf.int64)
            return tf.Variable(empty, trainable=False, shape=shape, name=name)

        self.session_splits = splits("session_splits", 0, [None])
        self.session_items = growing_variable("session_items", tf.int32)
        self.item_splits = splits("item_splits", num_items, [num_items + 1])
        self.item_sessions = growing_variable("item_sessions", tf.int32)

    def item_weights(self, clicks: LatestClicks) -> tf.Tensor:
        """Weigh the items of sessions, float64 [clicks]; 1 by default."""
        return tf.ones_like(clicks.items, tf.float64)

    def nearness(self, shared: tf.Tensor, sessions: tf.Tensor) -> tf.Tensor:
        """Compare train sessions for one query; ones that are not above 0 are no neighbours.

        Args:
          shared: float64 [pairs], the sum of the weights of the items that are shared.
          sessions: int32 [pairs], numbers of the train sessions.

        Returns:
          float32 [pairs].
        """
        raise NotImplementedError(f"{type(self).__name__} must define `nearness`")

    def similarity(self, nearness: tf.Tensor, sizes: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """Compute the similarities of neighbours, float32 [neighbours].

        Args:
          nearness: float32 [neighbours].
          sizes: float32 [neighbours], the number of distinct items of the query.
          squares: float32 [neighbours], the sum of the squares of their weights.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `similarity`")

    def entry_weights(self, clicks: LatestClicks, entries: Entries) -> Any:
        """Weigh the items of neighbours, float32 [entries]; 1 by default.

        Args:
          clicks: Those of the batch of sessions.
          entries: The distinct items of their neighbours.
        """
        return 1.0

    def fit_counts(self, sessions: Any) -> Sessions:
        """Index the sessions."""
        sessions = super().fit_counts(sessions)
        latest_first = np.argsort(sessions.dates, kind="stable")[::-1]
        number = np.empty(len(sessions), np.int64)
        number[latest_first] = np.arange(len(sessions))
        of_clicks = np.repeat(number, sessions.lengths)
        order = np.lexsort((sessions.items, of_clicks))  # stable: of equal items, the last is last
        holders, items = of_clicks[order], sessions.items[order]
        is_last = np.ones(len(order), bool)
        is_last[:-1] = (holders[1:] != holders[:-1]) | (items[1:] != items[:-1])
        self.index(sessions, latest_first, holders[is_last], order[is_last])
        return sessions

    def index(self, sessions: Sessions, latest_first: Array, holders: Array, clicks: Array) -> None:
        """Fill the index.

        Args:
          sessions: The train sessions.
          latest_first: int64 [sessions], the session of each number.
          holders: int64 [entries], the session number of each entry, ascending.
          clicks: int64 [entries], in `sessions.items`, the session's last click on each
            of its distinct items, which ascend.
        """
        items = sessions.items[clicks]
        self.session_splits.assign(row_splits(holders, len(sessions)))
        self.session_items.assign(items)
        by_item = np.argsort(items, kind="stable")
        holders, columns = holders[by_item], items[by_item] - 1
        place = np.arange(len(columns)) - row_splits(columns, self.num_items)[columns]
        is_latest = place < self.settings.sample_size
        self.item_splits.assign(row_splits(columns[is_latest], self.num_items))
        self.item_sessions.assign(holders[is_latest].astype(np.int32))

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`.

        An item's similarities are added from the highest to the lowest, so that
        equal ones have equal sums, whatever sessions they come from.
        """
        clicks = LatestClicks.from_items(items)
        near = self.neighbors(clicks, tf.shape(items, tf.int64)[0])
        of, positions = row_entries(self.session_splits, near.sessions)
        queries, found = tf.gather(near.queries, of), tf.gather(self.session_items, positions)
        added = tf.gather(near.similarities, of)
        added *= self.entry_weights(clicks, Entries(of, queries, positions, found))
        indices = tf.stack([queries, tf.cast(found, tf.int64) - 1], axis=1)
        shape = tf.stack([tf.shape(items, tf.int64)[0], self.num_items])
        return tf.scatter_nd(indices, added, shape)

    def neighbors(self, clicks: LatestClicks, batch: tf.Tensor) -> Neighbors:
        """Find the neighbours of sessions.

        Args:
          clicks: The latest click on each item of each session.
          batch: int64 [], the number of sessions.
        """
        weights = self.item_weights(clicks)
        sample, shared = self._sample(clicks, weights, batch)
        dense = sample.with_values(self.nearness(shared, sample.values)).to_tensor(-1.0)
        k = tf.minimum(self.settings.neighbors, tf.shape(dense)[1])
        nearest, positions = tf.math.top_k(dense, k)
        found = tf.where(nearest > 0)
        queries = found[:, 0]
        positions = tf.gather(sample.row_starts(), queries) + tf.cast(
            tf.gather_nd(positions, found), tf.int64
        )
        squares = tf.math.unsorted_segment_sum(weights**2, clicks.sessions, batch)
        sizes = tf.math.bincount(clicks.sessions, minlength=batch, maxlength=batch)
        similarities = self.similarity(
            tf.gather_nd(nearest, found),
            tf.cast(tf.gather(sizes, queries), tf.float32),
            tf.cast(tf.gather(squares, queries), tf.float32),
        )
        return Neighbors(queries, tf.gather(sample.values, positions), similarities)

    def _sample(
        self, clicks: LatestClicks, weights: tf.Tensor, batch: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Find the latest train sessions that share an item with sessions.

        Returns:
          int32 [batch, (sessions)], ascending; and the sum of the weights of the items
          that each shares, float64, one for each of its values.
        """
        of, entries = row_entries(self.item_splits, clicks.items - 1)
        # One key for each pair of query and session: sorted, those of a pair are adjacent.
        size = tf.maximum(tf.size(self.session_splits, tf.int64) - 1, 1)
        sessions = tf.cast(tf.gather(self.item_sessions, entries), tf.int64)
        keys = tf.gather(clicks.sessions, of) * size + sessions
        # Stable, so that equal sets of items have equal sums.
        order = tf.argsort(keys, stable=True)
        keys = tf.gather(keys, order)
        is_first = keys != tf.pad(keys, [[1, 0]], constant_values=-1)[:-1]
        pairs = tf.cumsum(tf.cast(is_first, tf.int64)) - 1
        shared = tf.math.segment_sum(tf.gather(weights, tf.gather(of, order)), pairs)
        keys = tf.boolean_mask(keys, is_first)
        sharing = tf.RaggedTensor.from_value_rowids(
            tf.range(tf.size(keys)), keys // size, batch, validate=False
        )
        sample = sharing[:, : self.settings.sample_size]
        numbers = tf.cast(tf.gather(keys % size, sample.values), tf.int32)
        return sample.with_values(numbers), tf.gather(shared, sample.values)


def clicks_on(clicks: LatestClicks, entries: Entries) -> tuple[tf.Tensor, tf.Tensor]:
    """Find sessions' clicks on the items of their neighbours.

    Args:
      clicks: The latest click on each item of each session.
      entries: The distinct items of their neighbours.

    Returns:
      Whether the session has a click on the item, bool [entries], and how many of its
      clicks are after it, int32 [entries], anything where it has none.
    """

    def keys(sessions: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return sessions * tf.cast(tf.int32.max, tf.int64) + tf.cast(items, tf.int64)

    of_clicks = keys(clicks.sessions, clicks.items)
    wanted = keys(entries.queries, entries.items)
    found = tf.searchsorted(of_clicks, wanted)
    found = tf.minimum(found, tf.maximum(tf.size(of_clicks) - 1, 0))
    return tf.gather(of_clicks, found) == wanted, tf.gather(clicks.later, found)
