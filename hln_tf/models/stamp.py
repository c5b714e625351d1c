"""Short-term attention/memory priority (Liu et al., KDD 2018)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import last_click, mean_of_clicks
from hln_tf.layers.sharding import Seed
from hln_tf.models.base import SessionEncoder
from hln_tf.models.settings import STAMPSettings

# Standard deviations of the start values, the authors'.
OF_VECTORS, OF_WEIGHTS = 0.002, 0.05


class STAMP(SessionEncoder):
    """What a session is about, and what its last click is about, entry by entry.

    With m_s the mean of the session's vectors x_i and x_t the last of them,

        a_i = w_0 . sigmoid(W_1 x_i + W_2 x_t + W_3 m_s + b_a)
        h_s = tanh(W_s (sum_i a_i x_i + m_s) + b_s),  h_t = tanh(W_t x_t + b_t)

    and the query is h_s * h_t. The attention has no softmax; the sum with m_s is
    that of the authors' code.
    """

    settings: STAMPSettings

    def __init__(
        self, num_items: int, settings: STAMPSettings, loss: str = "softmax", **task: Any
    ) -> None:
        start = keras.initializers.RandomNormal(stddev=OF_VECTORS)
        super().__init__(num_items, settings, loss, initializer=start, **task)
        d = settings.embedding_dim

        def dense(use_bias: bool = True, activation: str | None = None) -> keras.layers.Dense:
            start = keras.initializers.RandomNormal(stddev=OF_WEIGHTS)
            return keras.layers.Dense(d, activation, use_bias, kernel_initializer=start)

        self.W_1, self.W_2, self.W_3 = dense(), dense(use_bias=False), dense(use_bias=False)
        self.w_0 = self.add_weight(
            name="w_0", shape=(d,), initializer=keras.initializers.RandomNormal(stddev=OF_WEIGHTS)
        )
        self.W_s, self.W_t = dense(activation="tanh"), dense(activation="tanh")

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """h_s * h_t, see `SessionEncoder`."""
        m_s, x_t = mean_of_clicks(x, items), last_click(x, items)
        heard = tf.sigmoid(self.W_1(x) + (self.W_2(x_t) + self.W_3(m_s))[:, None])
        attention = tf.reduce_sum(heard * self.w_0, axis=-1, keepdims=True)
        # x is 0 at padding, so padding adds nothing.
        return self.W_s(tf.reduce_sum(attention * x, axis=1) + m_s) * self.W_t(x_t)
