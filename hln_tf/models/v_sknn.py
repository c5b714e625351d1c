"""V-SKNN: nearest sessions, with more weight on the latest clicks."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import LatestClicks, distance_weights
from hln_tf.models.nearest_sessions import Entries, NearestSessions, clicks_on
from hln_tf.models.settings import VSKNNSettings


@keras.utils.register_keras_serializable("hln_tf")
class VSKNN(NearestSessions):
    """Vector multiplication session-based nearest neighbours (Ludewig & Jannach, UMUAI 2018).

    Like SKNN, with three weights, as in the authors' code, session-rec:

    - The similarity of a train session is the sum of the weights of the items that
      it shares with the session, over the number of the session's items. Of a
      session of n clicks, an item's weight falls with the number a of clicks after
      the latest click on it: with `div` it is (n - a) / n.
    - A neighbour counts by the distance to the session's latest click on an item
      that they share, i = a + 1: with `div`, 1 / i.
    - With `idf_weight` v, an item's score is multiplied by 1 + v idf, with idf the
      log of the train sessions over its clicks in them, at least 0.

    Attributes:
      idf: float32 [items].
    """

    Settings = VSKNNSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.idf = tf.Variable(tf.zeros([num_items]), trainable=False, name="idf")

    def fit_counts(self, sessions: Any) -> Sessions:
        """Index the sessions and compute idf."""
        sessions = super().fit_counts(sessions)
        clicks = tf.cast(tf.maximum(self.item_counts, 1), tf.float64)
        idf = tf.math.log(tf.cast(max(len(sessions), 1), tf.float64) / clicks)
        self.idf.assign(tf.cast(tf.maximum(idf, 0), tf.float32))
        return sessions

    def item_weights(self, clicks: LatestClicks) -> tf.Tensor:
        """Weigh items by the clicks after them; see `NearestSessions`."""
        weighting, later = self.settings.weighting, tf.cast(clicks.later, tf.float64)
        if weighting not in ("div", "quadratic"):
            return distance_weights(weighting, later)
        remaining = 1 - later / tf.cast(clicks.lengths, tf.float64)
        return remaining if weighting == "div" else remaining**2

    def nearness(self, shared: tf.Tensor, sessions: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weights; see `NearestSessions`."""
        return tf.cast(shared, tf.float32)

    def similarity(self, nearness: tf.Tensor, sizes: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """Divide by the number of items; see `NearestSessions`."""
        return nearness / sizes

    def entry_weights(self, clicks: LatestClicks, entries: Entries) -> tf.Tensor:
        """Weigh neighbours by their latest shared click, and items by idf; see the class."""
        is_shared, later = clicks_on(clicks, entries)
        # Each neighbour shares an item.
        latest = tf.math.segment_min(tf.where(is_shared, later, later.dtype.max), entries.neighbors)
        weights = distance_weights(self.settings.score_weighting, latest + 1)
        of_items = 1 + self.settings.idf_weight * tf.gather(self.idf, entries.items - 1)
        return tf.cast(tf.gather(weights, entries.neighbors), tf.float32) * of_items
