"""STAN: nearest sessions by the order of clicks and the age of sessions."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.parts import DAY
from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import LatestClicks
from hln_tf.layers.sparse_rows import growing_variable, row_lengths
from hln_tf.models.counter_settings import STANSettings
from hln_tf.models.nearest_sessions import Array, Entries, NearestSessions, clicks_on


@keras.utils.register_keras_serializable("hln_tf")
class STAN(NearestSessions):
    """Sequence and time aware neighbourhood (Garg et al., SIGIR 2019).

    Like SKNN, with three weights:

    - Of a session's item, with a clicks after the latest click on it,
      exp(-a / `click_decay`): the similarity is the cosine of these weights and a
      train session's set of items.
    - Of a train session, exp(-days / `session_decay`): it scales the similarity.
      The days are those before the last train session; the time from that one to the
      session, which a request does not have, would scale all scores alike.
    - Of a neighbour's item, exp(-p / `item_decay`), with p the clicks between the
      neighbour's last click on it and its last click on an item of the session.

    A weight that float32 rounds to 0, beyond 87 times the decay, counts as 0.

    Attributes:
      session_weights: float32 [sessions], by session number.
      session_positions: int32 [entries], of the last click on each distinct item, in
        each session from 0.
    """

    Settings = STANSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.session_weights = growing_variable("session_weights", tf.float32)
        self.session_positions = growing_variable("session_positions", tf.int32)

    def index(self, sessions: Sessions, latest_first: Array, holders: Array, clicks: Array) -> None:
        """Fill the index; see `NearestSessions`."""
        super().index(sessions, latest_first, holders, clicks)
        dates = sessions.dates[latest_first]
        days = (dates[:1] - dates) / DAY
        self.session_weights.assign(np.exp(-days / self.settings.session_decay).astype(np.float32))
        positions = clicks - sessions.offsets[latest_first][holders]
        self.session_positions.assign(positions.astype(np.int32))

    def item_weights(self, clicks: LatestClicks) -> tf.Tensor:
        """Weigh items by the clicks after them; see `NearestSessions`."""
        return tf.exp(-tf.cast(clicks.later, tf.float64) / self.settings.click_decay)

    def nearness(self, shared: tf.Tensor, sessions: tf.Tensor) -> tf.Tensor:
        """Weigh the cosine, up to the norm of the query, by age; see `NearestSessions`."""
        sizes = tf.cast(row_lengths(self.session_splits, sessions), tf.float64)
        cosines = tf.cast(shared / tf.sqrt(sizes), tf.float32)
        return cosines * tf.gather(self.session_weights, sessions)

    def similarity(self, nearness: tf.Tensor, sizes: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """Divide by the norm of the query; see `NearestSessions`."""
        return nearness / tf.sqrt(squares)

    def entry_weights(self, clicks: LatestClicks, entries: Entries) -> tf.Tensor:
        """Weigh items by their distance to the last one that is shared; see the class."""
        is_shared, _ = clicks_on(clicks, entries)
        positions = tf.gather(self.session_positions, entries.positions)
        # Each neighbour shares an item.
        last = tf.math.segment_max(tf.where(is_shared, positions, -1), entries.neighbors)
        distance = tf.abs(positions - tf.gather(last, entries.neighbors))
        return tf.exp(-tf.cast(distance, tf.float32) / self.settings.item_decay)
