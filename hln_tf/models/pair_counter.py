"""Models that count pairs of items: rules from a click to the items that occur with it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import tensorflow as tf

from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import clicks_after, distance_weights
from hln_tf.layers.sparse_rows import growing_variable, row_entries
from hln_tf.models.counter import SessionCounter
from hln_tf.models.popularity import popularity_scores


class PairCounter(SessionCounter):
    """A scorer of items by the weights of rules from the session's last clicks to them.

    Subclasses define `rules`, and `click_weights` where more clicks count than the
    last one. Items to which no rule leads come last: they have scores below 0, by
    popularity.

    The rules are a sparse matrix in rows (CSR), so memory grows with the pairs
    seen. Equal weights of a row differ in their last bits, so that of two items
    with equal weights the more popular one is first.

    Attributes:
      row_splits: int64 [items + 1], rows of `followers`.
      followers: int32 [rules], item indices from 1.
      weights_of_rules: float32 [rules].
    """

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        empty = tf.zeros([num_items + 1], tf.int64)
        self.row_splits = tf.Variable(empty, trainable=False, name="row_splits")
        self.followers = growing_variable("followers", tf.int32)
        self.weights_of_rules = growing_variable("weights_of_rules", tf.float32)

    def rules(self, sessions: Sessions) -> scipy.sparse.csr_array:
        """Compute the weights of the rules, above 0, float [items, items].

        Args:
          sessions: Those to learn from.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `rules`")

    def click_weights(self, items: tf.Tensor) -> tf.Tensor:
        """Weigh the clicks of sessions, whose rules are added: 1 for the last, 0 for others.

        Args:
          items: int32 [batch, time], padded with 0.

        Returns:
          float32 [batch, time], 0 for padding.
        """
        return tf.cast((items > 0) & (clicks_after(items) == 0), tf.float32)

    def fit_counts(self, sessions: Any) -> Sessions:
        """Count clicks and pairs; see `SessionScorer`."""
        sessions = super().fit_counts(sessions)
        rules = self.rules(sessions)
        popularity = popularity_scores(self.item_counts).numpy()
        self.row_splits.assign(rules.indptr.astype(np.int64))
        self.followers.assign(rules.indices.astype(np.int32) + 1)
        self.weights_of_rules.assign(_without_ties(rules, popularity))
        return sessions

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        return self.with_fallback(self.rule_scores(items))

    def rule_scores(self, items: tf.Tensor) -> tf.Tensor:
        """Add the rules of the session's clicks, float32 [batch, items]."""
        weights = self.click_weights(items)
        clicks = tf.where(weights > 0)
        of, entries = row_entries(self.row_splits, tf.gather_nd(items, clicks) - 1)
        columns = tf.cast(tf.gather(self.followers, entries), tf.int64) - 1
        indices = tf.stack([tf.gather(clicks[:, 0], of), columns], axis=1)
        added = tf.gather(tf.gather_nd(weights, clicks), of)
        added *= tf.gather(self.weights_of_rules, entries)
        shape = tf.stack([tf.shape(items, tf.int64)[0], self.num_items])
        return tf.scatter_nd(indices, added, shape)

    def with_fallback(self, scores: tf.Tensor) -> tf.Tensor:
        """Score items that have 0 by popularity, from -1 to below 0."""
        return tf.where(scores > 0, scores, popularity_scores(self.item_counts) - 1)


def weigh_followers(
    sessions: Sessions, num_items: int, window: int, weighting: str
) -> scipy.sparse.csr_array:
    """Weigh pairs of a click and a later one by their distance.

    Args:
      sessions: Those to learn from.
      num_items: Size of the catalogue.
      window: Largest distance, in clicks.
      weighting: See `distance_weights`.

    Returns:
      float64 [items, items], the sum of the weights of the pairs of each item, the
      row, with each later one, the column.
    """
    of_clicks = np.repeat(np.arange(len(sessions)), sessions.lengths)
    columns = sessions.items.astype(np.int64) - 1
    total = scipy.sparse.csr_array((num_items, num_items))
    window = min(window, int(sessions.lengths.max(initial=1)) - 1)
    weights = distance_weights(weighting, tf.range(1, window + 1)).numpy()
    for distance, weight in enumerate(weights, start=1):
        is_pair = of_clicks[distance:] == of_clicks[:-distance]
        pairs = columns[:-distance][is_pair], columns[distance:][is_pair]
        values = np.full(len(pairs[0]), weight)
        total += scipy.sparse.coo_array((values, pairs), total.shape).tocsr()
    total.eliminate_zeros()
    return total


def _without_ties(
    rules: scipy.sparse.csr_array, popularity: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Round weights to float32 such that equal ones in a row ascend with popularity.

    Of equal weights each is the next larger float32 after the one before.
    """
    weights = rules.data.astype(np.float32)
    rows = np.repeat(np.arange(rules.shape[0]), np.diff(rules.indptr))
    order = np.lexsort((popularity[rules.indices], weights, rows))
    rows, ordered = rows[order], weights[order]
    position = np.arange(len(order))
    is_first = np.ones(len(order), bool)
    is_first[1:] = (rows[1:] != rows[:-1]) | (ordered[1:] != ordered[:-1])
    place = position - np.maximum.accumulate(np.where(is_first, position, 0))
    weights[order] = (ordered.view(np.int32) + place.astype(np.int32)).view(np.float32)
    return weights
