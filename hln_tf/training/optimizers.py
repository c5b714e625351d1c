"""Adam with lazy updates of embedding tables, and weight decay."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


class LazyAdam(keras.optimizers.legacy.Adam):
    """Adam whose updates of a table's rows are lazy if the gradient is sparse.

    With a dense gradient it equals its parent, Adam. With the sparse gradient of
    an item table, of which a step reads some rows, the parent still decays both
    moments of all rows and updates all rows: as exact as dense Adam, and as
    costly. Here the moments and values of rows without a gradient do not change.
    In contrast to dense Adam, a row's moments decay only in the steps that read
    it, it does not move in the others, and the bias correction uses the number
    of all steps: the first update of a row that is first read late is up to
    (1 - beta_1) / sqrt(1 - beta_2), 3.2, times the learning rate.

    Gradients of the same row, from several positions of the batch or from
    several replicas, are summed before they are clipped.
    """

    def _transform_gradients(self, grads_and_vars: Any) -> Any:
        return super()._transform_gradients(
            [(sum_duplicate_rows(gradient), variable) for gradient, variable in grads_and_vars]
        )

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, handle: tf.Variable, indices: tf.Tensor, **kwargs: Any
    ) -> tf.Operation:
        # `_transform_gradients` has left no duplicates.
        return self._resource_apply_sparse(grad, handle, indices, **kwargs)

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: Any = None
    ) -> tf.Operation:
        key = (var.device, var.dtype.base_dtype)
        by = (apply_state or {}).get(key) or self._fallback_apply_state(*key)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        m_rows = by["beta_1_t"] * tf.gather(m, indices) + by["one_minus_beta_1_t"] * grad
        v_rows = by["beta_2_t"] * tf.gather(v, indices) + by["one_minus_beta_2_t"] * grad**2
        step = by["lr"] * m_rows / (tf.sqrt(v_rows) + by["epsilon"])

        def scatter(scatter_op: Any, into: tf.Variable, rows: tf.Tensor) -> tf.Operation:
            return scatter_op(resource=into.handle, indices=indices, updates=rows)

        return tf.group(
            scatter(tf.raw_ops.ResourceScatterUpdate, m, m_rows),
            scatter(tf.raw_ops.ResourceScatterUpdate, v, v_rows),
            scatter(tf.raw_ops.ResourceScatterSub, var, step),
        )


def sum_duplicate_rows(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """Sum the entries of a sparse gradient for the same row; leave a dense one unchanged."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, segments = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, segments, tf.shape(rows)[0])
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def add_weight_decay(l2: float, gradients_and_weights: Any) -> Any:
    """Add the gradients of `l2 / 2` times the squared weights.

    To a sparse gradient they are added for its own rows only.

    Args:
      l2: The coefficient.
      gradients_and_weights: Pairs of a gradient and its variable.

    Returns:
      The pairs with the new gradients.
    """

    def decayed(gradient: Any, weight: tf.Variable) -> Any:
        if isinstance(gradient, tf.IndexedSlices):
            gradient = sum_duplicate_rows(gradient)
            values = gradient.values + l2 * tf.gather(weight, gradient.indices)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return gradient + l2 * weight

    return [(decayed(gradient, weight), weight) for gradient, weight in gradients_and_weights]
