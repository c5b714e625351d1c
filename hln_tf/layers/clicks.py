"""Clicks of sessions, and vectors of sessions from theirs; padding, item 0, may be anywhere."""

from typing import NamedTuple

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


def clicks_after(items: tf.Tensor) -> tf.Tensor:
    """Count the session's later clicks at each time step, int32 [batch, time].

    Args:
      items: int [batch, time], padded with 0.
    """
    return tf.cumsum(tf.cast(items > 0, tf.int32), axis=1, exclusive=True, reverse=True)


class LatestClicks(NamedTuple):
    """The latest click on each item of a batch of sessions, session after session.

    Attributes:
      sessions: int64 [clicks], rows of the batch.
      items: int32 [clicks], item indices, ascending in each session.
      later: int32 [clicks], how many clicks of the session are after it.
      lengths: int32 [clicks], how many clicks the session has.
    """

    sessions: tf.Tensor
    items: tf.Tensor
    later: tf.Tensor
    lengths: tf.Tensor

    @classmethod
    def from_items(cls, items: tf.Tensor) -> "LatestClicks":
        """Find them in sessions, int32 [batch, time], padded with 0."""
        order = tf.argsort(items, axis=1, stable=True)
        ordered = tf.gather(items, order, batch_dims=1)
        following = tf.pad(ordered, [[0, 0], [0, 1]])[:, 1:]
        found = tf.where((ordered > 0) & (ordered != following))
        later = tf.gather(clicks_after(items), order, batch_dims=1)
        lengths = tf.math.count_nonzero(items, axis=1, dtype=tf.int32)
        return cls(
            found[:, 0],
            tf.gather_nd(ordered, found),
            tf.gather_nd(later, found),
            tf.gather(lengths, found[:, 0]),
        )


def distance_weights(weighting: str, distance: tf.Tensor) -> tf.Tensor:
    """Weigh clicks by their distance, as in session-rec (Ludewig and Jannach, 2018).

    Args:
      weighting: One of `WEIGHTINGS`: of the distance i, same is 1, linear
        1 - i / 10 and at least 0, div 1 / i, log 1 / log10(i + 1.7) and quadratic
        1 / i ** 2.
      distance: int [...], in clicks, from 1.

    Returns:
      float64 [...].
    """
    i = tf.cast(distance, tf.float64)
    return {
        "same": tf.ones_like,
        "linear": lambda i: tf.maximum(1 - i / 10, 0),
        "div": lambda i: 1 / i,
        "log": lambda i: tf.math.log(tf.constant(10.0, tf.float64)) / tf.math.log(i + 1.7),
        "quadratic": lambda i: 1 / i**2,
    }[weighting](i)
