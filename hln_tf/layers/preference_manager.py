"""The Preference Manager (eq. 5)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import UsageError
from hln_tf.layers.choices import AGGREGATIONS


@keras.utils.register_keras_serializable("hln_tf")
class PreferenceManager(keras.layers.Layer):
    """Aggregates the preferences learnt so far into a_l.

    Args:
      aggregation: `sum` is eq. 5; `max` takes the elementwise maximum;
        `attention` weighs h_l by `softmax_l(v^T tanh(W_a h_l))`.

    Call arguments:
      preferences: One or more tensors h_{1,last}, ..., h_{l,last}, [batch, n].

    Returns:
      a_l, [batch, n].
    """

    def __init__(self, aggregation: str = "sum", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if aggregation not in AGGREGATIONS:
            raise UsageError(
                f"`aggregation` must be one of {AGGREGATIONS}, received {aggregation!r}"
            )
        self.aggregation = aggregation

    def build(self, input_shape: list[tf.TensorShape]) -> None:
        """Adds the attention's weights, where there is attention."""
        if self.aggregation == "attention":
            n = input_shape[0][-1]
            self.W_a = self.add_weight(name="W_a", shape=(n, n))
            self.v = self.add_weight(name="v", shape=(n, 1))
        super().build(input_shape)

    def call(self, preferences: list[tf.Tensor]) -> tf.Tensor:
        """See the class."""
        h = tf.stack(preferences, axis=1)
        if self.aggregation == "sum":
            return tf.reduce_sum(h, axis=1)
        if self.aggregation == "max":
            return tf.reduce_max(h, axis=1)
        energy = tf.matmul(tf.tanh(tf.matmul(h, self.W_a, transpose_b=True)), self.v)
        return tf.reduce_sum(tf.nn.softmax(energy, axis=1) * h, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "aggregation": self.aggregation}
