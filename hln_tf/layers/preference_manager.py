"""The Preference Manager (eq. 5)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.checked_call import CheckedCall, check_floats, check_shape, sizes_of
from hln_tf.layers.choices import AGGREGATIONS

# Preferences older than this many clicks have the weight of this age.
OLDEST = 15


@keras.utils.register_keras_serializable("hln_tf")
class PreferenceManager(CheckedCall, keras.layers.Layer):
    """The aggregate a_l of the preferences learnt so far (eq. 5 of Guo et al., SIGIR 2020).

    A program that loads a Keras model with this layer imports it, or any other name of
    `hln_tf.layers`, first: `from hln_tf.layers import PreferenceManager`.

    Args:
      aggregation: `sum` is eq. 5; `max` takes the elementwise maximum;
        `attention` weights h_l by `softmax_l(v^T tanh(W_a h_l))`; `recency` sums
        with learnt weights exp(r_t), where t is the number of clicks since the
        last one in the group, at most 15, and r starts at 0.
      **kwargs: Of a Keras layer.

    Call arguments:
      preferences: h_{1,last}, ..., h_{l,last}: one or more tensors [batch, n], or
        one tensor [batch, l, n]; a tensor [batch, n] is one preference.
      ages: The number of clicks since the last one in each group, for `recency`:
        int32 [batch, l].

    Returns:
      a_l, [batch, n].

    Raises:
      TypeError: `preferences` holds no floats, or an argument or the caller is Keras 3's.
      ValueError: `aggregation` is not allowed, an argument has another shape, or `ages`
        are missing.

    Example:
    >>> PreferenceManager("sum")([tf.ones([1, 2]), tf.ones([1, 2])]).numpy()
    array([[2., 2.]], dtype=float32)
    """

    def __init__(self, aggregation: str = "sum", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if aggregation not in AGGREGATIONS:
            raise ValueError(
                f"`aggregation` must be one of {AGGREGATIONS}, received {aggregation!r}"
            )
        self.aggregation = aggregation

    def build(self, input_shape: Any) -> None:
        """Add the attention's weights, where there is attention."""
        if self.aggregation == "attention":
            n = (input_shape[0] if isinstance(input_shape, list) else input_shape)[-1]
            self.W_a = self.add_weight(name="W_a", shape=(n, n))
            self.v = self.add_weight(name="v", shape=(n, 1))
        if self.aggregation == "recency":
            self.r = self.add_weight(name="r", shape=(OLDEST + 1,), initializer="zeros")
        super().build(input_shape)

    def check_call(self, preferences: Any, ages: Any = None, **others: Any) -> None:
        """Check the arguments of `call`."""
        if not isinstance(preferences, list | tuple):
            check_floats("preferences", preferences)
            rank = tf.TensorShape(getattr(preferences, "shape", None)).rank
            axes = ("batch", "n") if rank == 2 else ("batch", "l", "n")
            check_shape("preferences", preferences, axes)
            count = 1 if rank == 2 else sizes_of(preferences, *axes)[1]
        else:
            if not preferences:
                raise ValueError(
                    "`preferences` must hold at least one tensor [batch, n], received []"
                )
            _, n = sizes_of(preferences[0], "batch", "n")
            for h in preferences:
                check_floats("preferences", h)
                check_shape("preferences", h, ("batch", n), ": a list holds tensors [batch, n]")
            count = len(preferences)
        if self.aggregation == "recency" and ages is None:
            raise ValueError(
                "`ages` is None, but the aggregation `recency` needs the number of clicks since "
                "each group's last one, int32 [batch, l]"
            )
        check_shape("ages", ages, ("batch", count))

    def call(
        self, preferences: tf.Tensor | Sequence[tf.Tensor], ages: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Aggregate; see the class."""
        if isinstance(preferences, list | tuple):
            preferences = tf.stack(preferences, axis=1)
        h: Any = preferences
        if h.shape.rank == 2:  # Keras passes a list of one as its element when it loads a model
            h = h[:, None]
        if self.aggregation in ("sum", "recency"):
            return tf.reduce_sum(self.weighed(h, ages), axis=1)
        if self.aggregation == "max":
            return tf.reduce_max(h, axis=1)
        energy = tf.matmul(tf.tanh(tf.matmul(h, self.W_a, transpose_b=True)), self.v)
        return tf.reduce_sum(tf.nn.softmax(energy, axis=1) * h, axis=1)

    def weighed(self, preferences: tf.Tensor, ages: tf.Tensor | None) -> tf.Tensor:
        """Weigh preferences as the sum of `recency` does; others stay as they are.

        Args:
          preferences: [batch, l, n].
          ages: int32 [batch, l], see the class.

        Returns:
          [batch, l, n].
        """
        if self.aggregation != "recency":
            return preferences
        return preferences * tf.gather(tf.exp(self.r), tf.minimum(ages, OLDEST))[..., None]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "aggregation": self.aggregation}
