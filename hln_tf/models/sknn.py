"""SKNN: the items of the train sessions that are most like the session."""

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.sparse_rows import row_lengths
from hln_tf.models.nearest_sessions import NearestSessions
from hln_tf.models.settings import SKNNSettings


@keras.utils.register_keras_serializable("hln_tf")
class SKNN(NearestSessions):
    """Session-based nearest neighbours (Jannach & Ludewig, RecSys 2017).

    The similarity of sessions is the cosine of their sets of items,
    |A & B| / sqrt(|A| |B|), and an item's score the sum of the similarities of
    the neighbours that hold it; see `NearestSessions`.

    Nearness is compared as |A & B|^2 / |B|, a quotient of whole numbers: equal
    cosines have equal quotients in float32, where their roots may differ.
    """

    Settings = SKNNSettings

    def nearness(self, shared: tf.Tensor, sessions: tf.Tensor) -> tf.Tensor:
        """Compute |A & B|^2 / |B|; see `NearestSessions`."""
        sizes = row_lengths(self.session_splits, sessions)
        return tf.cast(shared**2, tf.float32) / tf.cast(sizes, tf.float32)

    def similarity(self, nearness: tf.Tensor, sizes: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """Compute the cosine; see `NearestSessions`."""
        return tf.sqrt(nearness / sizes)
