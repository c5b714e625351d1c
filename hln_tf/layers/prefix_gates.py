"""The leap gates of a session's prefixes, from one pass over the session."""

import tensorflow as tf

from hln_tf.layers.leap_recurrent_cell import LeapRecurrentCell
from hln_tf.layers.leap_recurrent_unit import Projection
from hln_tf.layers.recurrent_ops import Recurrence


def prefixes_with_gates(
    cell: LeapRecurrentCell,
    result: Recurrence,
    projection: Projection,
    a: tf.Tensor,
    is_free: tf.Tensor,
) -> tf.Tensor:
    """Find the prefixes of sessions whose own aggregates leave all hard gates as they are.

    Args:
      cell: Of a unit with a preference gate.
      result: A pass over the sessions at inference without an aggregate.
      projection: The result of `project`.
      a: The aggregate of the prefix that ends at each click, [batch, time, n].
      is_free: bool [batch, time], False for clicks whose gate does not matter.

    Returns:
      bool [batch, time].
    """
    assert result.logits is not None
    W_p_x, U_p_a = projection.W_p_x, tf.tensordot(a, tf.transpose(cell.U_p), 1)
    terms = projection.x * cell.u_q
    logits = tf.transpose(result.logits[..., 0])
    others = logits - tf.reduce_sum(terms * tf.sigmoid(W_p_x), axis=2)  # but for eq. 1
    # g_p grows with U_p a, and a term of eq. 2 with it or against it, so the logits of all
    # prefixes are between those of the lowest and the highest U_p a, chosen for each term.
    low = tf.sigmoid(W_p_x + tf.reduce_min(U_p_a, axis=1, keepdims=True))
    high = tf.sigmoid(W_p_x + tf.reduce_max(U_p_a, axis=1, keepdims=True))
    rises, falls = tf.maximum(terms, 0), tf.minimum(terms, 0)
    least = others + tf.reduce_sum(rises * low + falls * high, axis=2)
    most = others + tf.reduce_sum(rises * high + falls * low, axis=2)
    unsettled = tf.where(is_free & ~tf.where(logits > 0, least > 0, most <= 0))
    # The few gates that this leaves open, for each prefix that has the click.
    session, click = tf.unstack(unsettled, axis=1)
    g_p = tf.sigmoid(tf.gather_nd(W_p_x, unsettled)[:, None, :] + tf.gather(U_p_a, session))
    exact = tf.gather_nd(others, unsettled)[:, None] + tf.linalg.matvec(
        g_p, tf.gather_nd(terms, unsettled)
    )
    differs = (exact > 0) != (tf.gather_nd(logits, unsettled) > 0)[:, None]
    differs &= tf.range(tf.shape(a, tf.int64)[1]) >= click[:, None]
    shape = tf.shape(is_free, tf.int64)
    return tf.scatter_nd(session[:, None], tf.cast(differs, tf.int32), shape) == 0
