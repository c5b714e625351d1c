"""Sparse matrices in rows (CSR): where each row starts, and the entries row after row."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def row_splits(rows: npt.NDArray[np.integer], num_rows: int) -> npt.NDArray[np.int64]:
    """Compute where each row starts and the last one ends.

    Args:
      rows: int [entries], the row of each entry, ascending.
      num_rows: Number of rows.

    Returns:
      int64 [num_rows + 1].
    """
    return np.searchsorted(rows, np.arange(num_rows + 1))


def row_lengths(splits: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Compute the lengths of rows, int64 [rows]."""
    return tf.gather(splits, rows + 1) - tf.gather(splits, rows)


def row_entries(splits: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the entries of rows, row after row.

    Args:
      splits: int64, where each row starts and the last one ends.
      rows: int [rows], any number of times each.

    Returns:
      Which of `rows` each entry belongs to and its position, int64 [entries] each.
    """
    positions = tf.ragged.range(tf.gather(splits, rows), tf.gather(splits, rows + 1))
    return positions.value_rowids(), positions.values


def growing_variable(name: str, dtype: tf.DType) -> tf.Variable:
    """Make an untrained variable of one axis, empty, whose length each fit chooses."""
    return tf.Variable(tf.zeros([0], dtype), trainable=False, shape=[None], name=name)
