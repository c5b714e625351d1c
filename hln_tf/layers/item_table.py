"""Reading of item tables, float [items, d], for padded sessions of item indices."""

from typing import Any

import tensorflow as tf


def item_rows(items: tf.Tensor) -> tf.Tensor:
    """Convert item indices, from 1, into rows of an item table.

    Padding reads a row that is read anyway: an optimiser moves the rows that a
    sparse gradient names, and no other item may be among them.
    """
    read_anyway = tf.maximum(tf.reduce_max(items), 1)
    return tf.where(items > 0, items, read_anyway) - 1


def mask_padding(x: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Set embeddings [batch, time, d] to zero where `items` [batch, time] is padding."""
    return x * tf.cast(items > 0, x.dtype)[..., None]


def gather_with_shared_gradient(
    table: tf.Variable | tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gather rows of a table, and return the table, whose gradients share one buffer.

    Read separately, the dense gradient of the table and the sparse one of the
    rows would be added in a third table of their own.

    Args:
      table: float [items, d].
      rows: int [...].

    Returns:
      float [..., d] and the table.
    """

    @tf.custom_gradient
    def read(table: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        def gradient(d_rows: tf.Tensor, d_table: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_add(d_table, rows[..., None], d_rows)

        return (tf.gather(table, rows), tf.identity(table)), gradient

    return read(tf.convert_to_tensor(table))
