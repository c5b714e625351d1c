"""The recurrence over a session, and its gradient.

Left to the tape, each step of the loop adds the gradients of its weights to
those of the steps after it, and pushes and pops all that it computes. Here the
way back keeps to the chain from h_t to h_{t-1}; the gradient by U is one product
over all steps. Either way the first step needs no product with U: its state is 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from hln_tf.layers.leap_recurrent import LeapRecurrentCell


# What a step makes for the gradient: h_t and, in the order of `GRUStep`, all but its h.
_ALL = 5


class GRUStep(NamedTuple):
    """A step of the GRU, each part [batch, n].

    Attributes:
      h: Its next state.
      update: The update gate.
      reset: The reset gate.
      candidate: The candidate.
      recurrent: What the candidate has from h_{t-1}, before the reset.
    """

    h: tf.Tensor
    update: tf.Tensor
    reset: tf.Tensor
    candidate: tf.Tensor
    recurrent: tf.Tensor


def run_recurrence(
    cell: "LeapRecurrentCell",
    gru_input: Sequence[tf.Tensor],
    leap_input: tf.Tensor,
    noise: tf.Tensor,
    training: bool | None,
    states: bool = False,
) -> tuple[tf.Tensor, ...]:
    """Runs a cell over all steps, at least one, from a state of zeros.

    Args:
      cell: A built cell.
      gru_input: [time, batch, n] for each of the GRU's gates.
      leap_input: [time, batch, 1], see the cell.
      noise: [time, batch, 1].
      training: As in the cell; if so, the gradient is this module's.
      states: Whether to return all states too.

    Returns:
      The leap logits [time, batch, 1], h_last [batch, n] and, with `states`, every
      h_t, [time, batch, n].
    """
    if not training:
        logits, h_last, made = _forward(cell, gru_input, leap_input, noise, int(states))
        return logits, h_last, *(array.stack() for array in made)

    @tf.custom_gradient
    def run(*inputs: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Any]:
        *gru_input, leap_input = inputs
        logits, h_last, made = _forward(cell, gru_input, leap_input, noise, _ALL)

        def gradient(
            *d_outputs: tf.Tensor, variables: Any = ()
        ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            d_inputs, d_weights = _backward(cell, logits, noise, made, *d_outputs)
            return d_inputs, [d_weights[variable.ref()] for variable in variables]

        return (logits, h_last, made[0].stack())[: 2 + states], gradient

    return run(*gru_input, leap_input)


def _forward(
    cell: "LeapRecurrentCell",
    gru_input: Sequence[tf.Tensor],
    leap_input: tf.Tensor,
    noise: tf.Tensor,
    kept: int,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.TensorArray]]:
    """The leap logits, h_last and arrays of the first `kept` things that steps made.

    The gate is drawn where `_ALL` are kept, for the gradient.
    """
    time, batch = tf.unstack(tf.shape(leap_input)[:2])
    kernels = cell.kernels()

    def step(
        t: tf.Tensor, h: tf.Tensor, logit: tf.Tensor, products: list[tf.Tensor], arrays: Any
    ) -> Any:
        made = cell.advance(h, [part[t] for part in gru_input], products)
        is_drawn = kept == _ALL
        g = cell.drawn_gate(logit, noise[t]) if is_drawn else cell.gate(logit, noise[t], False)
        h = g * h + (1 - g) * made.h
        parts = (logit, h, *made[1:])[: 1 + kept]
        return h, [array.write(t, part) for array, part in zip(arrays, parts, strict=True)]

    def body(t: tf.Tensor, h: tf.Tensor, arrays: Any) -> Any:
        products = [tf.matmul(h, kernel) for kernel in kernels]
        return t + 1, *step(t, h, cell.leap_logit(h, leap_input[t]), products, arrays)

    arrays = _arrays(time, [1] + kept * [cell.units])
    zeros = tf.zeros([batch, cell.units])
    h, arrays = step(tf.constant(0), zeros, leap_input[0], 3 * [zeros], arrays)
    _, h_last, (logits, *made) = tf.while_loop(
        lambda t, *_: t < time, body, (tf.constant(1), h, arrays)
    )
    return logits.stack(), h_last, made


def _backward(
    cell: "LeapRecurrentCell",
    logits: tf.Tensor,
    noise: tf.Tensor,
    made: list[tf.TensorArray],
    d_logits: tf.Tensor,
    d_last: tf.Tensor,
    d_states: tf.Tensor | None = None,
) -> tuple[list[tf.Tensor], dict[Any, tf.Tensor]]:
    """Gradients by `gru_input` and `leap_input`, and by the cell's weights."""
    time, kernels = tf.shape(logits)[0], cell.kernels()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        g = cell.gate(logits, noise, training=True)
    slope = tape.gradient(g, logits)

    def step(t: tf.Tensor, d_h: tf.Tensor, before: tf.Tensor, arrays: Any) -> Any:
        """The gradients by all that h_t is made of; those by h_{t-1} but for the products."""
        update, reset, candidate, recurrent = (array.read(t) for array in made[1:])
        away = (1 - update) * (before - candidate)  # what a leap adds to the GRU's state
        d_logit = d_logits[t] + slope[t] * tf.reduce_sum(d_h * away, axis=1, keepdims=True)
        leapt = g[t] * d_h
        d_gru = d_h - leapt
        d_update = d_gru * away * update
        d_candidate = d_gru * (1 - update) * (1 - candidate * candidate)
        d_recurrent = d_candidate * reset
        d_reset = d_recurrent * recurrent * (1 - reset)
        parts = (d_logit, d_update, d_reset, d_candidate, d_recurrent)
        arrays = [array.write(t, part) for array, part in zip(arrays, parts, strict=True)]
        return leapt + d_gru * update, d_logit, (d_update, d_reset, d_recurrent), arrays

    def body(t: tf.Tensor, d_h: tf.Tensor, arrays: Any) -> Any:
        d_before, d_logit, d_products, arrays = step(t, d_h, made[0].read(t - 1), arrays)
        by_products = zip(d_products, kernels, strict=True)
        through = [tf.matmul(d, kernel, transpose_b=True) for d, kernel in by_products]
        if cell.sees_state:
            through.append(d_logit * cell.w_q)
        if d_states is not None:
            through.append(d_states[t - 1])
        return t - 1, tf.add_n([d_before, *through]), arrays

    arrays = _arrays(time, [1] + 4 * [cell.units])
    if d_states is not None:
        d_last += d_states[-1]
    _, d_h, arrays = tf.while_loop(lambda t, *_: t > 0, body, (time - 1, d_last, arrays))
    *_, arrays = step(tf.constant(0), d_h, tf.zeros_like(d_last), arrays)
    d_logit, d_update, d_reset, d_candidate, d_recurrent = (array.stack() for array in arrays)
    before = made[0].stack()[:-1]
    d_kernels = [
        tf.tensordot(before, d[1:], [[0, 1], [0, 1]]) for d in (d_update, d_reset, d_recurrent)
    ]
    d_weights = {
        cell.U.ref(): tf.concat(d_kernels, axis=1),
        cell.c.ref(): tf.reduce_sum(d_recurrent, axis=[0, 1]),
    }
    if cell.sees_state:
        d_weights[cell.w_q.ref()] = tf.reduce_sum(before * d_logit[1:], axis=[0, 1])
    return [d_update, d_reset, d_candidate, d_logit], d_weights


def _arrays(time: tf.Tensor, widths: Sequence[int]) -> list[tf.TensorArray]:
    """Arrays over time of [batch, width]; they may be read more than once."""
    return [
        tf.TensorArray(tf.float32, time, clear_after_read=False, element_shape=[None, width])
        for width in widths
    ]
