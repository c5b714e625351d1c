"""The Leap Recurrent Unit step by step, as every Keras RNN runs its cell."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


def run_cell(
    layer: keras.layers.RNN,
    inputs: tf.Tensor,
    mask: tf.Tensor | None,
    training: bool | None,
    initial_state: Sequence[tf.Tensor],
    constants: Sequence[tf.Tensor] | None,
    noise: tf.Tensor | None,
    available: tf.Tensor | None,
) -> tuple[tf.Tensor, Sequence[tf.Tensor], Sequence[tf.Tensor]]:
    """Run a unit's cell step by step, with all that a Keras RNN has.

    Args:
      layer: The `LeapRecurrentUnit`; a stateful one's states are assigned.
      inputs: float [batch, time, d], or [time, batch, d] if it is time major, as for
        `mask`, `noise` and `available`.
      mask: bool [batch, time], False at padding, or None.
      training: Whether to sample the gates straight-through.
      initial_state: The states before the first step, [batch, n] each.
      constants: `[a]`, see `LeapRecurrentUnit`, or None.
      noise: float [batch, time], logistic noise of the gates, or None.
      available: float [batch, time], 0 for clicks that must be skipped, or None.

    Returns:
      The outputs, the last states, and of each click what the layer returns in
      addition, [batch, time] each.
    """
    time_axis = 0 if layer.time_major else 1
    ones = tf.ones(tf.shape(inputs)[:2], inputs.dtype)
    at_steps = (
        inputs,
        (tf.zeros_like(ones) if noise is None else noise)[..., None],
        (ones if available is None else available)[..., None],
    )

    count = len(initial_state)  # of states; the constants follow them
    num_of_click = layer.return_leap_probabilities + layer.return_gates

    def step(at_step: Any, states: Any) -> tuple[Any, list[tf.Tensor]]:
        a = list(states[count:])
        outputs, new_states = layer.cell(at_step, states[:count], constants=a, training=training)
        leap = gate = tf.zeros_like(outputs[:, :1])
        if layer.cell.is_gated:
            logit = layer.cell.leap_logit(at_step[0], states[0], a[0] if a else None)
            logit, noise = layer.cell.gate.at_begin(logit, at_step[1], *states[1:count])
            leap, gate = tf.sigmoid(logit), layer.cell.gate(logit, noise, training)
        of_click = [1 - (1 - leap) * at_step[2]] * layer.return_leap_probabilities
        of_click += [gate] * layer.return_gates
        return tf.concat([outputs, *of_click], axis=1), new_states

    last, outputs, states = keras.backend.rnn(
        step,
        at_steps,
        initial_state,
        constants=constants,
        go_backwards=layer.go_backwards,
        mask=mask,
        unroll=layer.unroll,
        input_length=inputs.shape[time_axis],
        time_major=layer.time_major,
        zero_output_for_mask=layer.zero_output_for_mask,
        return_all_outputs=layer.return_sequences or num_of_click > 0,
    )
    if layer.stateful:
        for variable, state in zip(layer.states, states, strict=True):
            variable.assign(tf.cast(state, variable.dtype))
    units = layer.cell.units
    of_clicks = tf.unstack(outputs[..., units:], num_of_click, axis=-1)
    if layer.go_backwards:  # outputs are in the order of the steps
        of_clicks = [tf.reverse(values, [time_axis]) for values in of_clicks]
    if mask is not None:
        of_clicks = [tf.where(mask, values, 1.0) for values in of_clicks]
    outputs = outputs[..., :units] if layer.return_sequences else last[:, :units]
    return outputs, states, of_clicks
