"""Adam that leaves the rows alone which a step does not touch."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


class LazyAdam(keras.optimizers.legacy.Adam):
    """Adam whose updates of a table's rows are lazy where the gradient is sparse.

    For a dense gradient this is its parent, Adam. For the sparse gradient of an
    item table, of which a step reads some rows, the parent still decays both
    moments of all rows and moves all rows: as exact as dense Adam, and as
    costly. Here rows without a gradient keep their moments and their values.
    Against dense Adam, a row's moments decay once for each step that touches
    it, it does not coast on between, and the bias correction follows the steps
    of the whole training: the first update of a row that is first touched late
    is up to (1 - beta_1) / sqrt(1 - beta_2), 3.2, times the learning rate.

    Gradients of a row that come from several places of the batch, or from
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
    """A sparse gradient with each row once; a dense one as it is."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.shape(rows)[0])
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def add_weight_decay(l2: float, gradients_and_weights: Any) -> Any:
    """Gradients of a loss to which `l2 / 2` times the squared weights are added.

    Of a sparse gradient, the rows that it has are pulled.
    """

    def pulled(gradient: Any, weight: tf.Variable) -> Any:
        if isinstance(gradient, tf.IndexedSlices):
            gradient = sum_duplicate_rows(gradient)
            values = gradient.values + l2 * tf.gather(weight, gradient.indices)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return gradient + l2 * weight

    return [(pulled(gradient, weight), weight) for gradient, weight in gradients_and_weights]
