"""Sessions as graphs of their items (Wu et al., AAAI 2019), many at a time."""

from typing import NamedTuple

import tensorflow as tf


class ItemGraph(NamedTuple):
    """The graphs of a batch of sessions.

    A session's node for an item is at the time step of its first click on it; the
    other steps of the session have no edges. An edge leads from each click to the
    next one; repeated edges count once, and a click repeated at once is an edge of
    a node to itself.

    Attributes:
      node: int32 [batch, time], time step of each click's node.
      A_in: float32 [batch, time, time], means over predecessors: entry (w, v) is
        1 / (w's predecessors) where an edge leads from v to w.
      A_out: float32 [batch, time, time], means over successors: entry (v, w) is
        1 / (v's successors) where an edge leads from v to w.
    """

    node: tf.Tensor
    A_in: tf.Tensor
    A_out: tf.Tensor

    @classmethod
    def from_items(cls, items: tf.Tensor) -> "ItemGraph":
        """Build the graphs of sessions, int [batch, time], padded with 0 anywhere."""
        node = tf.argmax(items[:, :, None] == items[:, None, :], axis=2, output_type=tf.int32)
        is_click = items > 0
        number = tf.cumsum(tf.cast(is_click, tf.int32), axis=1)
        follows = number[:, None, :] == number[:, :, None] + 1
        follows &= is_click[:, :, None] & is_click[:, None, :]
        to_node = tf.one_hot(node, tf.shape(items)[1])
        steps = tf.matmul(to_node, tf.cast(follows, tf.float32), transpose_a=True)
        edges = tf.cast(tf.matmul(steps, to_node) > 0, tf.float32)
        return cls(node, _means(tf.transpose(edges, [0, 2, 1])), _means(edges))


def _means(edges: tf.Tensor) -> tf.Tensor:
    """Divide each row by its sum; one without an edge stays 0."""
    return tf.math.divide_no_nan(edges, tf.reduce_sum(edges, axis=2, keepdims=True))
