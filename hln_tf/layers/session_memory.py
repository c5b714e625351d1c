"""A memory of the latest sessions, read by similarity."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.checked_call import CheckedCall, check_floats, check_shape
from hln_tf.layers.choices import checked_count


@keras.utils.register_keras_serializable("hln_tf")
class SessionMemory(CheckedCall, keras.layers.Layer):
    """The outer memory of CSRM (Wang et al., SIGIR 2019): a ring of session vectors.

    Its content are weights that are not trained, so checkpoints and exports hold
    it. Reading leaves it as it is, and no gradient goes into it.

    A program that loads a Keras model with this layer imports it, or any other name of
    `hln_tf.layers`, first: `from hln_tf.layers import SessionMemory`.

    Args:
      size: Vectors that it holds; the next ones replace the oldest.
      units: Size n of a vector.
      neighbors: Nearest vectors that a reader gets.
      **kwargs: Of a Keras layer.

    Attributes:
      vectors: float32 [size, n]; vector i of all that were ever written is in row
        i mod size.
      written: int64 [], how many that were.

    Raises:
      TypeError: Keys are no floats, or they or the caller are Keras 3's.
      ValueError: A size is no integer or below 1, or keys have another shape.
    """

    def __init__(self, size: int, units: int, neighbors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = checked_count("size", size)
        self.units = checked_count("units", units)
        self.neighbors = checked_count("neighbors", neighbors)

    def check_call(self, keys: Any, **others: Any) -> None:
        """Check the arguments of `call`."""
        check_floats("keys", keys)
        check_shape("keys", keys, ("batch", self.units))

    def build(self, input_shape: Any) -> None:
        """Add the memory, empty."""
        self.vectors = self.add_weight(
            name="vectors", shape=(self.size, self.units), initializer="zeros", trainable=False
        )
        self.written = self.add_weight(
            name="written", shape=(), dtype=tf.int64, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def call(self, keys: tf.Tensor) -> tf.Tensor:
        """Read the nearest vectors by cosine, weighted by the softmax of their cosines.

        Vectors as near as the last of the `neighbors` nearest all count.

        Args:
          keys: float [batch, n], one session vector for each reader.

        Returns:
          float [batch, n]; 0 where the memory is empty.
        """
        vectors = tf.stop_gradient(self.vectors)
        cosines = tf.matmul(
            tf.math.l2_normalize(keys, axis=1),
            tf.math.l2_normalize(vectors, axis=1),
            transpose_b=True,
        )
        is_filled = tf.range(self.size, dtype=tf.int64) < self.written
        of_filled = tf.where(is_filled, cosines, -2.0)
        # Products with the whole memory cost less than to gather each reader's rows, and
        # the last of the nearest less than all of them.
        last = min(self.neighbors, self.size) - 1
        nearest = tf.raw_ops.NthElement(input=of_filled, n=last, reverse=True)
        is_near = is_filled & (of_filled >= nearest[:, None])
        weights = tf.where(is_near, tf.exp(cosines), 0.0)
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        return tf.math.divide_no_nan(tf.matmul(weights, vectors), total)

    def write(self, vectors: tf.Tensor) -> None:
        """Add vectors, float32 [batch, n], the oldest first."""
        count = tf.shape(vectors, tf.int64)[0]
        # Of more than there is room for the last ones stay.
        stored = tf.minimum(count, self.size)
        rows = (self.written + tf.range(count - stored, count)) % self.size
        self.vectors.scatter_update(tf.IndexedSlices(vectors[count - stored :], rows))
        self.written.assign_add(count)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        sizes = {"size": self.size, "units": self.units, "neighbors": self.neighbors}
        return {**super().get_config(), **sizes}
