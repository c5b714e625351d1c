"""Short-term attention/memory priority (Liu et al., KDD 2018)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import last_click, mean_of_clicks
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import STAMPSettings

# Standard deviations of the initial values, the authors'.
OF_EMBEDDINGS, OF_WEIGHTS = 0.002, 0.05


@keras.utils.register_keras_serializable("hln_tf")
class STAMP(SessionEncoder):
    """Short-term attention/memory priority: the session's gist times its last click's.

    With m_s the mean of the session's embeddings x_i and x_t the last of them,

        a_i = w_0 . sigmoid(W_1 x_i + W_2 x_t + W_3 m_s + b_a)
        h_s = tanh(W_s (sum_i a_i x_i + m_s) + b_s),  h_t = tanh(W_t x_t + b_t)

    and the query is h_s * h_t. The attention has no softmax; the sum with m_s is
    that of the authors' code, as are embeddings x_i of at most the length `max_norm`,
    which the candidates' embeddings may exceed.
    """

    Settings = STAMPSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        d = self.settings.embedding_dim

        def dense(use_bias: bool = True, activation: str | None = None) -> keras.layers.Dense:
            start = keras.initializers.RandomNormal(stddev=OF_WEIGHTS)
            return keras.layers.Dense(d, activation, use_bias, kernel_initializer=start)

        self.W_1, self.W_2, self.W_3 = dense(), dense(use_bias=False), dense(use_bias=False)
        self.w_0 = self.add_weight(
            name="w_0", shape=(d,), initializer=keras.initializers.RandomNormal(stddev=OF_WEIGHTS)
        )
        self.W_s, self.W_t = dense(activation="tanh"), dense(activation="tanh")

    def item_initializer(self) -> keras.initializers.Initializer:
        """See `SessionEncoder`; the authors'."""
        return keras.initializers.RandomNormal(stddev=OF_EMBEDDINGS)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """h_s * h_t, see `SessionEncoder`."""
        if self.settings.max_norm:
            x = tf.clip_by_norm(x, self.settings.max_norm, axes=-1)
        m_s, x_t = mean_of_clicks(x, items), last_click(x, items)
        energy = tf.sigmoid(self.W_1(x) + (self.W_2(x_t) + self.W_3(m_s))[:, None])
        attention = tf.reduce_sum(energy * self.w_0, axis=-1, keepdims=True)
        # x is 0 at padding, so padding adds nothing.
        return self.W_s(tf.reduce_sum(attention * x, axis=1) + m_s) * self.W_t(x_t)
