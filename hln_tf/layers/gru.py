"""A GRU over sessions: the recurrence of eq. 4 without its gate."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.checked_call import (
    EMBEDDINGS,
    CheckedCall,
    check_floats,
    check_shape,
    sizes_of,
)
from hln_tf.layers.choices import checked_count
from hln_tf.layers.recurrent_ops import RecurrentWeights, run_recurrence
from hln_tf.layers.time_major import by_time, gate_inputs


@keras.utils.register_keras_serializable("hln_tf")
class GRU(CheckedCall, keras.layers.Layer):
    """A GRU (Cho et al., 2014) whose state stays as it is at padding.

    A program that loads a Keras model with this layer imports it, or any other name of
    `hln_tf.layers`, first: `from hln_tf.layers import GRU`.

    Args:
      units: Size n of the hidden state.
      input_kernel: Whether it has the weights that meet its inputs; without, the
        inputs are already those of the gates.
      **kwargs: Of a Keras layer.

    Call arguments:
      x: float [batch, time, d], item embeddings; without an input kernel
        [batch, time, 3 n], for the gates update, reset, candidate.
      mask: bool [batch, time], False at padding.
      training: Whether a gradient will be asked for.

    Returns:
      All states h_t, [batch, time, n], and the last ones, [batch, n].

    Raises:
      TypeError: `x` holds no floats, or an argument or the caller is Keras 3's.
      ValueError: `units` is no integer or below 1, or an argument has another shape.

    Example:
    >>> states, last = GRU(6)(tf.random.normal([2, 5, 4]), mask=tf.ones([2, 5], bool))
    >>> states.shape, last.shape
    (TensorShape([2, 5, 6]), TensorShape([2, 6]))
    """

    def __init__(self, units: int, input_kernel: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = checked_count("units", units)
        self.input_kernel = input_kernel
        self.supports_masking = True

    def check_call(self, x: Any, mask: Any = None, **others: Any) -> None:
        """Check the arguments of `call`."""
        check_floats("x", x, EMBEDDINGS)
        width = "d" if self.input_kernel else 3 * self.units
        check_shape("x", x, ("batch", "time", width))
        check_shape("mask", mask, sizes_of(x, "batch", "time"))

    def build(self, input_shape: tf.TensorShape) -> None:
        """Add the weights."""
        n = self.units
        self.U = self.add_weight(name="U", shape=(n, 3 * n), initializer="orthogonal")
        self.c = self.add_weight(name="c", shape=(n,), initializer="zeros")
        if self.input_kernel:
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 3 * n))
            self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")
        super().build(input_shape)

    def call(
        self, x: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Run over sessions; see the class."""
        gru_input: Sequence[tf.Tensor]
        if self.input_kernel:
            gru_input = gate_inputs(x, self.kernel, self.bias)
        else:
            gru_input = tf.split(tf.transpose(x, [1, 0, 2]), 3, axis=2)
        weights = RecurrentWeights(tf.convert_to_tensor(self.U), tf.convert_to_tensor(self.c))
        available = None if mask is None else by_time(tf.cast(mask, x.dtype))
        result = run_recurrence(
            gru_input, weights, available=available, training=training, return_states=True
        )
        return tf.transpose(result.states, [1, 0, 2]), result.h_last

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "units": self.units, "input_kernel": self.input_kernel}
