"""Session graphs with gated graph neural networks (Wu et al., AAAI 2019)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import last_click
from hln_tf.layers.item_graph import ItemGraph
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import SRGNNSettings


@keras.utils.register_keras_serializable("hln_tf")
class SRGNN(SessionEncoder):
    """A gated graph network over the session's items.

    A session is a graph of its distinct items with an edge for each step from one
    to the next. In each propagation, the embeddings v of all items become

        a = [A_in (v H_in + b_in); A_out (v H_out + b_out)],  v = GRU(v, a)

    with A_in and A_out the means over predecessors and successors. With v_i of the
    i-th click and v_t of the last one, the query is W_3 [v_t; s_g] with

        s_g = sum_i (q . sigmoid(W_1 v_t + W_2 v_i + c)) v_i.

    All weights start uniform on +-1/sqrt(d), as the authors' do.
    """

    Settings = SRGNNSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        d = self.settings.embedding_dim

        def start() -> keras.initializers.Initializer:
            return keras.initializers.RandomUniform(-(d**-0.5), d**-0.5)

        def dense(use_bias: bool) -> keras.layers.Dense:
            return keras.layers.Dense(
                d, use_bias=use_bias, kernel_initializer=start(), bias_initializer=start()
            )

        self.H_in, self.H_out = dense(use_bias=True), dense(use_bias=True)
        self.gru = keras.layers.GRUCell(
            d,
            kernel_initializer=start(),
            recurrent_initializer=start(),
            bias_initializer=start(),
        )
        self.W_1, self.W_2, self.W_3 = dense(use_bias=True), dense(False), dense(False)
        self.q = self.add_weight(name="q", shape=(d,), initializer=start())

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """W_3 [v_t; s_g], see `SessionEncoder`."""
        return self.read_out(items, self.click_states(items, x))

    def click_states(self, items: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Compute the states v_i of the clicks' items after the propagations, [batch, time, d].

        Args:
          items: int32 [batch, time], padded with 0.
          x: float32 [batch, time, d], the items' embeddings.
        """
        d = self.settings.embedding_dim
        graph = ItemGraph.from_items(items)
        v = tf.reshape(x, [-1, d])
        for _ in range(self.settings.propagations):
            a_in = tf.matmul(graph.A_in, tf.reshape(self.H_in(v), tf.shape(x)))
            a_out = tf.matmul(graph.A_out, tf.reshape(self.H_out(v), tf.shape(x)))
            a = tf.reshape(tf.concat([a_in, a_out], axis=2), [-1, 2 * d])
            v, _ = self.gru(a, [v])
        return tf.gather(tf.reshape(v, tf.shape(x)), graph.node, axis=1, batch_dims=1)

    def read_out(self, items: tf.Tensor, v_i: tf.Tensor) -> tf.Tensor:
        """Compute W_3 [v_t; s_g], [batch, d], of the clicks' states [batch, time, d]."""
        v_t = last_click(v_i, items)
        energy = tf.sigmoid(self.W_1(v_t)[:, None] + self.W_2(v_i))
        attention = tf.reduce_sum(energy * self.q, axis=-1) * tf.cast(items > 0, v_i.dtype)
        s_g = tf.reduce_sum(attention[..., None] * v_i, axis=1)
        return self.W_3(tf.concat([v_t, s_g], axis=1))
