"""S-POP: what the session clicked most, then what everyone did."""

import tensorflow as tf
import tf_keras as keras

from hln_tf.models.counter import SessionCounter
from hln_tf.models.counter_settings import SPopSettings


@keras.utils.register_keras_serializable("hln_tf")
class SPop(SessionCounter):
    """A scorer of items by their clicks in the session, plus their popularity.

    S-POP adds pop / (1 + pop) for the `top_items` most popular items of the log
    and 0 for the others (Hidasi et al., 2016). That is always below 1, so
    popularity orders only items with as many clicks in the session; but in
    float32 it rounds to 1 for large counts. What is added here instead is a term
    in (0, 1) that falls with an item's rank by popularity: the ranking is that of
    the definition in exact arithmetic, and of equally popular items the one
    with the smaller index is first. Items that were never clicked have the term 0.
    """

    Settings = SPopSettings

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        clicks = tf.where(items > 0)
        columns = tf.cast(tf.gather_nd(items, clicks), tf.int64) - 1
        indices = tf.stack([clicks[:, 0], columns], axis=1)
        shape = tf.stack([tf.shape(items, tf.int64)[0], self.num_items])
        return tf.scatter_nd(indices, tf.ones_like(columns, tf.float32), shape) + self._popular()

    def _popular(self) -> tf.Tensor:
        """Compute the term of the log's popularity, float32 [items]."""
        k = min(self.settings.top_items, self.num_items)
        counts, top = tf.math.top_k(self.item_counts, k)
        terms = tf.range(k, 0, -1, tf.float32) / (k + 1)
        return tf.scatter_nd(top[:, None], tf.where(counts > 0, terms, 0.0), [self.num_items])
