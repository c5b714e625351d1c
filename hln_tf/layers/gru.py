"""A GRU over sessions: the recurrence of eq. 4 without its gate."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.leap_recurrent import (
    KEEPING_LOGIT,
    PADDING_LOGIT,
    LeapRecurrentCell,
    gate_inputs,
)
from hln_tf.layers.recurrent_ops import run_recurrence


@keras.utils.register_keras_serializable("hln_tf")
class GRU(keras.layers.Layer):
    """A GRU (Cho et al., 2014) that leaves its state as it is at padding.

    Args:
      units: Size n of the hidden state.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = LeapRecurrentCell(units, sees_state=False, name="cell")

    def build(self, input_shape: tf.TensorShape) -> None:
        """Adds the weights that meet the items."""
        d, n = input_shape[-1], self.cell.units
        self.kernel = self.add_weight(name="kernel", shape=(d, 3 * n))
        self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")
        super().build(input_shape)

    def call(
        self, x: tf.Tensor, mask: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs over sessions.

        Args:
          x: float [batch, time, d], item vectors.
          mask: bool [batch, time], False at padding.
          training: Whether a gradient will be asked for.

        Returns:
          All states h_t, [batch, time, n], and the last ones, [batch, n].
        """
        return self.over(gate_inputs(x, self.kernel, self.bias), mask, training)

    def over(
        self, gru_input: Sequence[tf.Tensor], mask: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same from the inputs of the gates, [time, batch, n] each."""
        if not self.cell.built:
            with tf.name_scope(self.cell.name):
                self.cell.build(None)
        logit = tf.transpose(tf.where(mask, KEEPING_LOGIT, PADDING_LOGIT))[..., None]
        _, h_last, states = run_recurrence(
            self.cell, gru_input, logit, tf.zeros_like(logit), training, states=True
        )
        return tf.transpose(states, [1, 0, 2]), h_last

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "units": self.cell.units}
