"""Popularity: every session gets the items clicked most often in training."""

import tensorflow as tf
import tf_keras as keras

from hln_tf.models.counter import SessionCounter
from hln_tf.models.counter_settings import PopularitySettings


@keras.utils.register_keras_serializable("hln_tf")
class Popularity(SessionCounter):
    """A scorer of items by their clicks in the training sessions.

    Of items with equal counts the one with the smaller index is first, so that
    ranks are deterministic.
    """

    Settings = PopularitySettings

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        scores = popularity_scores(self.item_counts)
        return tf.repeat(scores[None], tf.shape(items)[0], axis=0)


def popularity_scores(item_counts: tf.Tensor) -> tf.Tensor:
    """Compute scores in [0, 1) that order items by count, ties by item index.

    Args:
      item_counts: int64 [items].

    Returns:
      float32 [items], (items - rank) / items.
    """
    order = tf.argsort(item_counts, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, stable=True) + 1
    return 1 - tf.cast(rank, tf.float32) / tf.cast(tf.size(rank), tf.float32)
