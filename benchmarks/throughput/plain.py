"""The plain implementation of HLN, the baseline of the package's speed.

It computes the same as `hln_tf.models.hln`, with the same weights, as the equations
define it: `keras.layers.RNN` runs the package's `LeapRecurrentCell` step by step,
without the fused recurrence and its gradient, over sessions padded to the longest of
a shuffled batch; the softmax has automatic differentiation, and Adam is Keras' own.
Its step is compiled as well.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.models.hln import HLN


class PlainHLN:
    """The plain implementation on the weights of a model.

    Args:
      model: An HLN with aggregation `sum` and inference gate `hard`, as in preset `paper`.
    """

    def __init__(self, model: HLN) -> None:
        self.model = model
        self.rnn = keras.layers.RNN(model.leap_recurrent_unit.cell)

    def encode(
        self, items: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Encode sessions int32 [batch, time] as x_ideal, float32 [batch, d] (eq. 6)."""
        mask = items > 0
        x = tf.nn.embedding_lookup(self.model.X, tf.maximum(items - 1, 0))
        # The model's own noise, so that both results are equal.
        noise = self.model.noise(items, training, seed)[..., None]
        available = tf.ones_like(noise[0])
        a = tf.zeros([tf.shape(items)[0], self.model.settings.hidden_dim])
        for group in range(self.model.settings.num_groups):
            inputs = (x, noise[group], available)
            a += self.rnn(inputs, mask=mask, constants=[a], training=training)
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
