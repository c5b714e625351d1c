"""Self-attentive sequential recommendation (Kang and McAuley, ICDM 2018)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import clicks_after, last_click
from hln_tf.layers.item_table import mask_padding
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import SASRecSettings

# Separates the dropouts from other noise with the same seed; each place adds its own number.
DROPOUT = 0x53415352


class SelfAttentionBlock(keras.layers.Layer):
    """The weights of self-attention and of the point-wise network after it.

    Keys have no bias: it would add the same to all scores of a query.

    Args:
      d: Size of the embeddings.
      **kwargs: Of a Keras layer.
    """

    def __init__(self, d: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before_attention = keras.layers.LayerNormalization(epsilon=1e-8)
        self.W_Q, self.W_V = keras.layers.Dense(d), keras.layers.Dense(d)
        self.W_K = keras.layers.Dense(d, use_bias=False)
        self.before_network = keras.layers.LayerNormalization(epsilon=1e-8)
        self.W_1, self.W_2 = keras.layers.Dense(d, "relu"), keras.layers.Dense(d)


@keras.utils.register_keras_serializable("hln_tf")
class SASRec(SessionEncoder):
    """Self-attention of clicks to the clicks before them.

    The input is sqrt(d) x_t + P_a for each click, with a the number of clicks after
    it: as with the authors, who pad sessions in front, the last click always has
    the same position. Only the last `positions` clicks are read. Each block is

        S = softmax(Q K^T / sqrt(d)) V + N(E),  Q = N(E) W_Q, K = E W_K, V = E W_V
        F = W_2 relu(W_1 N(S)) + N(S)

    with N the layer normalisation and the softmax over a click and those before
    it; the query is N(F) of the last click, whose dot products with the item
    embeddings are the scores. That is the authors' code; their paper normalises
    K's and V's inputs too, and adds E and S as they are.

    The authors compare each target with one sampled item of its own, the loss
    `binary`; here the negatives of a step are shared by its examples. `--loss
    softmax` trains on the whole catalogue.
    """

    Settings = SASRecSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        d = self.settings.embedding_dim
        start = keras.initializers.RandomUniform(-(d**-0.5), d**-0.5)
        shape = (self.settings.positions, d)
        self.P = self.add_weight(name="P", shape=shape, initializer=start)
        self.blocks = [SelfAttentionBlock(d) for _ in range(self.settings.num_blocks)]
        self.after_blocks = keras.layers.LayerNormalization(epsilon=1e-8)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """N(F) of the last click, see `SessionEncoder`."""

        def drop(x: tf.Tensor, place: int, time_axes: Sequence[int] = (1,)) -> tf.Tensor:
            if not training:
                return x
            return self.drop(x, self.settings.hidden_dropout, seed, DROPOUT + place, time_axes)

        later = clicks_after(items)
        items = tf.where(later < self.settings.positions, items, 0)
        positions = tf.gather(self.P, tf.minimum(later, self.settings.positions - 1))
        e = mask_padding(drop(self.settings.embedding_dim**0.5 * x + positions, 0), items)
        for number, block in enumerate(self.blocks):
            q = block.before_attention(e)
            weights = self._attention(block.W_Q(q), block.W_K(e), items)
            weights = drop(weights, 3 * number + 1, time_axes=(2, 3))
            s = block.before_network(self._attended(weights, block.W_V(e)) + q)
            hidden = drop(block.W_1(s), 3 * number + 2)
            e = mask_padding(drop(block.W_2(hidden), 3 * number + 3) + s, items)
        return self.after_blocks(last_click(e, items))

    def _attention(self, q: tf.Tensor, k: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Compute the weights of each click's attention, [batch, heads, time, time]."""
        q, k = self._heads(q), self._heads(k)
        scores = tf.einsum("bthd,bshd->bhts", q, k) * tf.cast(tf.shape(q)[3], q.dtype) ** -0.5
        time = tf.range(tf.shape(items)[1])
        is_read = (time[:, None] >= time[None, :]) & (items > 0)[:, None, None, :]
        return tf.nn.softmax(tf.where(is_read, scores, scores.dtype.min))

    def _attended(self, weights: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """Sum values [batch, time, d] by weights [batch, heads, time, time]."""
        return tf.reshape(tf.einsum("bhts,bshd->bthd", weights, self._heads(v)), tf.shape(v))

    def _heads(self, x: tf.Tensor) -> tf.Tensor:
        """Split [batch, time, d] into [batch, time, heads, d / heads]."""
        heads = self.settings.num_heads
        shape = tf.shape(x)
        return tf.reshape(x, [shape[0], shape[1], heads, self.settings.embedding_dim // heads])
