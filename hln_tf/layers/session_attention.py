"""Attention of a session's last state to all its states, without a softmax."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.checked_call import CheckedCall, check_floats, check_shape, sizes_of


@keras.utils.register_keras_serializable("hln_tf")
class SessionAttention(CheckedCall, keras.layers.Layer):
    """The local encoder of NARM (Li et al., CIKM 2017).

    With the last state h_t of a session, its states are summed with weights

        alpha_j = v^T sigmoid(A1 h_t + A2 h_j)

    which need not be positive nor sum to 1.

    A program that loads a Keras model with this layer imports it, or any other name of
    `hln_tf.layers`, first: `from hln_tf.layers import SessionAttention`.

    Call arguments:
      states: float [batch, time, n], h_j.
      last: float [batch, n], h_t.
      mask: bool [batch, time], False at padding, which has no weight.

    Returns:
      sum_j alpha_j h_j, [batch, n].

    Raises:
      TypeError: `states` holds no floats, or an argument or the caller is Keras 3's.
      ValueError: An argument has another shape.
    """

    def check_call(self, states: Any, last: Any = None, mask: Any = None, **others: Any) -> None:
        """Check the arguments of `call`."""
        check_floats("states", states)
        check_shape("states", states, ("batch", "time", "n"))
        batch, time, n = sizes_of(states, "batch", "time", "n")
        check_shape("last", last, (batch, n))
        check_shape("mask", mask, (batch, time))

    def build(self, input_shape: tf.TensorShape) -> None:
        """Add A1, A2 and v."""
        n = input_shape[-1]
        self.A1 = self.add_weight(name="A1", shape=(n, n))
        self.A2 = self.add_weight(name="A2", shape=(n, n))
        self.v = self.add_weight(name="v", shape=(n, 1))
        super().build(input_shape)

    def call(self, states: tf.Tensor, last: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Sum the states; see the class."""
        from_last = tf.matmul(last, self.A1, transpose_b=True)[:, None, :]
        from_states = tf.tensordot(states, tf.transpose(self.A2), 1)
        alpha: Any = tf.tensordot(tf.sigmoid(from_last + from_states), self.v, 1)
        alpha *= tf.cast(mask, alpha.dtype)[..., None]
        return tf.reduce_sum(alpha * states, axis=1)
