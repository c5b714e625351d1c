"""The plain implementation of HLN, the baseline of the package's speed.

It computes the same as `hln_tf.models.hln`, with the same weights, but shares none
of its code: a Keras RNN over a cell that does all its work inside the step, sessions
padded to the longest of a shuffled batch, automatic differentiation of the softmax,
and Keras' own Adam. Its step is compiled as well.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.models.hln import HLN


class PlainCell(keras.layers.Layer):
    """One step of the Leap Recurrent Unit on item embeddings (eq. 1-4).

    Args:
      model: The model whose weights it uses.
    """

    def __init__(self, model: HLN) -> None:
        super().__init__()
        self.unit = model.leap_recurrent_unit
        self.state_size = model.settings.hidden_dim
        self.output_size = 1

    def call(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor],
        states: list[tf.Tensor],
        constants: list[tf.Tensor],
        training: bool | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Compute the leap probability and the next state from `x` [batch, d], noise [batch, 1]."""
        x, noise = inputs
        (h,), (a,), unit = states, constants, self.unit
        cell = unit.cell
        g_p = tf.sigmoid(
            tf.matmul(x, unit.W_p, transpose_b=True) + tf.matmul(a, unit.U_p, transpose_b=True)
        )
        logit = tf.linalg.matvec(h, cell.w_q) + tf.linalg.matvec(g_p * x, unit.u_q) + unit.b
        logit = logit[:, None]
        if training:
            relaxed = tf.sigmoid((logit + noise) / cell.temperature)
            hard = tf.cast(logit + noise > 0, tf.float32)
            g = hard + relaxed - tf.stop_gradient(relaxed)
        else:
            g = tf.cast(logit > 0, tf.float32)
        from_x = tf.split(tf.matmul(x, unit.kernel) + unit.bias, 3, axis=1)
        from_h = tf.split(tf.matmul(h, cell.U), 3, axis=1)
        update = tf.sigmoid(from_x[0] + from_h[0])
        reset = tf.sigmoid(from_x[1] + from_h[1])
        candidate = tf.tanh(from_x[2] + reset * (from_h[2] + cell.c))
        gru = update * h + (1 - update) * candidate
        return tf.sigmoid(logit), [g * h + (1 - g) * gru]


class PlainHLN:
    """The plain implementation on the weights of a model.

    Args:
      model: An HLN with aggregation `sum` and inference gate `hard`, as in preset `paper`.
    """

    def __init__(self, model: HLN) -> None:
        self.model = model
        self.rnn = keras.layers.RNN(PlainCell(model), return_state=True)

    def encode(
        self, items: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Encode sessions int32 [batch, time] as x_ideal, float32 [batch, d] (eq. 6)."""
        mask = items > 0
        x = tf.nn.embedding_lookup(self.model.X, tf.maximum(items - 1, 0))
        # The model's own noise, so that both results are equal.
        noise = self.model.noise(tf.shape(items), training, seed)[..., None]
        a = tf.zeros([tf.shape(items)[0], self.model.settings.hidden_dim])
        for group in range(self.model.settings.num_groups):
            inputs = (x, noise[group])
            _, h_last = self.rnn(inputs, mask=mask, constants=[a], training=training)
            a += h_last
        return tf.matmul(a, self.model.W, transpose_b=True)

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """Compute the scores of all items, float32 [batch, items] (eq. 7)."""
        return tf.matmul(self.encode(items), self.model.X, transpose_b=True)

    def loss(self, items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Compute the mean softmax cross-entropy of a batch in training."""
        query = self.encode(items, training=True, seed=seed)
        scores = tf.matmul(query, self.model.X, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target - 1, scores)
        return tf.reduce_mean(losses)

    def compile_step(self, learning_rate: float) -> Callable[..., Any]:
        """Compile a step of Adam, a function of `items`, `target` and `seed`."""
        variables = self.model.trainable_variables
        optimizer = keras.optimizers.Adam(learning_rate)
        optimizer.build(variables)

        @tf.function(reduce_retracing=True)
        def train_step(items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                loss = self.loss(items, target, seed)
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        return train_step
