"""Vectors of sessions from those of their clicks; padding, item 0, may be anywhere."""

import tensorflow as tf


def last_click(x: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Gather what belongs to each session's last click.

    Args:
      x: [batch, time, ...].
      items: int [batch, time], padded with 0.

    Returns:
      [batch, ...]; that of the first place for a session without a click.
    """
    time = tf.range(1, tf.shape(items)[1] + 1)
    last = tf.reduce_max(tf.where(items > 0, time, 0), axis=1)
    return tf.gather(x, tf.maximum(last - 1, 0), axis=1, batch_dims=1)


def mean_of_clicks(x: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Compute the mean over each session's clicks, 0 for a session without one.

    Args:
      x: float [batch, time, d], 0 at padding.
      items: int [batch, time], padded with 0.

    Returns:
      float [batch, d].
    """
    clicks = tf.math.count_nonzero(items, axis=1, keepdims=True, dtype=x.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(x, axis=1), clicks)
