"""A first-order Markov chain over items: what followed the last click."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import last_click
from hln_tf.models.counter import SessionCounter
from hln_tf.models.popularity import popularity_scores
from hln_tf.models.settings import MarkovSettings


@keras.utils.register_keras_serializable("hln_tf")
class Markov(SessionCounter):
    """A first-order Markov chain: scores an item by how often it followed the last click.

    Items that never followed it come last, by popularity. The transitions
    are a sparse matrix in rows (CSR), so memory grows with the bigrams seen.
    """

    Settings = MarkovSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)

        def unknown_length(dtype: tf.DType, name: str) -> tf.Variable:
            empty = tf.zeros([0], dtype)
            return tf.Variable(empty, trainable=False, shape=[None], name=name)

        self.row_splits = tf.Variable(
            tf.zeros([num_items + 1], tf.int64), trainable=False, name="row_splits"
        )
        self.followers = unknown_length(tf.int32, "followers")
        self.follow_counts = unknown_length(tf.float32, "follow_counts")

    def fit_counts(self, sessions: Any) -> Sessions:
        """Count which item followed which."""
        sessions = super().fit_counts(sessions)
        ends = np.zeros(len(sessions.items), bool)
        ends[sessions.offsets[1:] - 1] = True
        last = sessions.items[:-1][~ends[:-1]].astype(np.int64) - 1
        following = sessions.items[1:][~ends[:-1]].astype(np.int64) - 1
        bigrams, counts = np.unique(last * self.num_items + following, return_counts=True)
        rows = np.searchsorted(bigrams // self.num_items, np.arange(self.num_items + 1))
        self.row_splits.assign(rows)
        self.followers.assign((bigrams % self.num_items).astype(np.int32))
        self.follow_counts.assign(counts.astype(np.float32))
        return sessions

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        last = last_items(items)
        start, end = tf.gather(self.row_splits, last), tf.gather(self.row_splits, last + 1)
        positions = tf.ragged.range(start, end)
        columns = tf.gather(self.followers, positions.values)
        indices = tf.stack([positions.value_rowids(), tf.cast(columns, tf.int64)], axis=1)
        counts = tf.gather(self.follow_counts, positions.values)
        shape = tf.stack([tf.shape(items, tf.int64)[0], self.num_items])
        return tf.scatter_nd(indices, counts, shape) + popularity_scores(self.item_counts)


def last_items(items: tf.Tensor) -> tf.Tensor:
    """Return the row of each session's last item, int32 [batch]; 0 where it has none."""
    return tf.maximum(last_click(items, items) - 1, 0)
