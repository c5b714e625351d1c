"""Neural attentive recommendation machine (Li et al., CIKM 2017)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.gru import GRU
from hln_tf.layers.noise import Seed
from hln_tf.layers.session_attention import SessionAttention
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import NARMSettings

# Separates the dropout of session encodings from other noise with the same seed.
SESSION_DROPOUT = 0x53455353


@keras.utils.register_keras_serializable("hln_tf")
class NARM(SessionEncoder):
    """A GRU's last state and its attention to all states, taken to item space together.

    The global encoder is the last state, the local encoder `SessionAttention`
    over all states of the same GRU, as in the authors' code; the session is
    c = [global; local], and an item's score x_i^T B c.

    The authors' code differs from their paper in two things in which this is the
    paper's: there a softmax makes the attention's weights sum to 1, and of a long
    session the first 19 clicks are used, here the last `max_length`. Its item
    embeddings start from N(0, 2 / items), so small that learning takes many epochs
    to begin; here they start as those of all models.
    """

    Settings = NARMSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        d, n = self.settings.embedding_dim, self.settings.hidden_dim
        self.gru = GRU(n)
        self.attention = SessionAttention()
        start = keras.initializers.RandomNormal(stddev=(2 / d) ** 0.5)
        self.B = self.add_weight(name="B", shape=(d, 2 * n), initializer=start)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """B c, see `SessionEncoder`."""
        c = tf.concat(self.encode_session(items, x, training), axis=1)
        return self.decode(c, training, seed)

    def encode_session(
        self, items: tf.Tensor, x: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the global and the local encoding of sessions, float32 [batch, n] each."""
        states, last = self.gru(x, mask=items > 0, training=training)
        return last, self.attention(states, last=last, mask=items > 0)

    def decode(self, c: tf.Tensor, training: bool, seed: Seed | None) -> tf.Tensor:
        """Project session encodings [batch, 2 n] to item space, [batch, d]."""
        if training:
            c = self.drop(c, self.settings.hidden_dropout, seed, SESSION_DROPOUT)
        return tf.matmul(c, self.B, transpose_b=True)
