"""Conversions between the sessions' layout, [batch, time], and the recurrence's, [time, batch]."""

import tensorflow as tf


def gate_inputs(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> list[tf.Tensor]:
    """Compute the inputs of a GRU's gates for all steps.

    Args:
      x: float [batch, time, d].
      kernel: float [d, 3 n], in the order update, reset, candidate.
      bias: float [3 n].

    Returns:
      [time, batch, n] for each gate.
    """
    over_time = tf.transpose(x, [1, 0, 2])
    gates = zip(tf.split(kernel, 3, axis=1), tf.split(bias, 3), strict=True)
    return [tf.tensordot(over_time, part, 1) + part_bias for part, part_bias in gates]


def by_time(values: tf.Tensor | None) -> tf.Tensor | None:
    """Transpose [batch, time] to [time, batch, 1]; None stays None."""
    return None if values is None else tf.transpose(values)[..., None]


def leap_probabilities(
    logits: tf.Tensor | None,
    mask: tf.Tensor | None,
    available: tf.Tensor | None,
    like: tf.Tensor,
) -> tf.Tensor:
    """Compute the probability of leaping over each click, float [batch, time].

    Args:
      logits: [time, batch, 1]; None without a leap gate.
      mask: bool [batch, time], False at padding, where the probability is 1.
      available: [batch, time], 0 for clicks that must be skipped.
      like: [batch, time, ...], for shape and type.
    """
    leaps = gates_of_clicks(None if logits is None else tf.sigmoid(logits), mask, like)
    return leaps if available is None else 1 - (1 - leaps) * available


def gates_of_clicks(gates: tf.Tensor | None, mask: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """Return the gate of each click, float [batch, time].

    Args:
      gates: [time, batch, 1]; None without a leap gate, which leaps over none.
      mask: bool [batch, time], False at padding, where the gate is 1.
      like: [batch, time, ...], for shape and type.
    """
    if gates is None:
        values = tf.zeros(tf.shape(like)[:2], like.dtype)
    else:
        values = tf.transpose(gates[..., 0])
    return values if mask is None else tf.where(mask, values, 1.0)
