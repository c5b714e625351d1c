"""The recurrence over a session as functions of tensors, with a gradient of its own.

With automatic differentiation each step of the loop adds the gradients of the
weights to those of the steps after it, and pushes and pops every intermediate
value. Here the backward loop follows only the chain from h_t to h_{t-1}; the
gradient by U is one product over all steps. From a state of zeros the first
step needs no product with U.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from hln_tf.layers.leap_gate import LeapGate


class RecurrentWeights(NamedTuple):
    """The weights that meet the hidden state.

    Attributes:
      U: float [n, 3 n], of the GRU's gates in the order update, reset, candidate.
      c: float [n], bias of the candidate, which the reset gate scales too.
      w_q: float [n], of the leap logit; None without a leap gate.
    """

    U: tf.Tensor
    c: tf.Tensor
    w_q: tf.Tensor | None = None


class GRUStep(NamedTuple):
    """A step of the GRU, each part [batch, n].

    Attributes:
      h: Its next state.
      update: The update gate.
      reset: The reset gate.
      candidate: The candidate.
      recurrent: The candidate's part from h_{t-1}, before the reset.
    """

    h: tf.Tensor
    update: tf.Tensor
    reset: tf.Tensor
    candidate: tf.Tensor
    recurrent: tf.Tensor


class Recurrence(NamedTuple):
    """The result of a recurrence.

    Attributes:
      h_last: float [batch, n], the last state.
      states: float [time, batch, n], every h_t; None unless asked for.
      logits: float [time, batch, 1], the leap logits; None without a leap gate.
    """

    h_last: tf.Tensor
    states: tf.Tensor | None
    logits: tf.Tensor | None


class _Inputs(NamedTuple):
    """The differentiable inputs of a recurrence; what is missing is None."""

    gru_input: tuple[tf.Tensor, ...]
    weights: RecurrentWeights
    leap_input: tf.Tensor | None
    available: tf.Tensor | None
    h_0: tf.Tensor | None


def gru_step(
    h: tf.Tensor, gru_input: Sequence[tf.Tensor], products: Sequence[tf.Tensor], c: tf.Tensor
) -> GRUStep:
    """Compute a step of the GRU (eq. 4; Keras' GRU with `reset_after`).

    Args:
      h: h_{t-1}, [batch, n].
      gru_input: [batch, n] for each of the gates update, reset, candidate.
      products: h_{t-1} times each gate's part of U, [batch, n].
      c: [n].
    """
    update = tf.sigmoid(gru_input[0] + products[0])
    reset = tf.sigmoid(gru_input[1] + products[1])
    recurrent = products[2] + c
    candidate = tf.tanh(gru_input[2] + reset * recurrent)
    return GRUStep(candidate + update * (h - candidate), update, reset, candidate, recurrent)


def gate_kernels(U: tf.Tensor) -> list[tf.Tensor]:
    """Split U into those of the update gate, the reset gate and the candidate, each [n, n].

    Small products of their own run side by side, and no result is split afterwards.
    """
    return tf.split(U, 3, axis=1)


def run_recurrence(
    gru_input: Sequence[tf.Tensor],
    weights: RecurrentWeights,
    gate: LeapGate | None = None,
    leap_input: tf.Tensor | None = None,
    noise: tf.Tensor | None = None,
    available: tf.Tensor | None = None,
    h_0: tf.Tensor | None = None,
    training: bool | None = None,
    return_states: bool = False,
) -> Recurrence:
    """Run a GRU, with or without a leap gate, over all steps, at least one.

    With g the leap gate and v what is available, h_t = k GRU(h_{t-1}, x_t) +
    (1 - k) h_{t-1}, where k = (1 - g) v.

    Args:
      gru_input: [time, batch, n] for each of the GRU's gates.
      weights: Those that meet the hidden state.
      gate: The leap gate; None for a GRU.
      leap_input: [time, batch, 1], the leap logit's part without h_{t-1}.
      noise: [time, batch, 1], logistic, where the gate is sampled.
      available: [time, batch, 1], 0 at padding and where a click must be
        skipped, else 1; None where all are available.
      h_0: [batch, n], the initial state; None for zeros.
      training: Whether a gradient is needed; the gate is then sampled.
      return_states: Whether to return every state.
    """
    inputs = _Inputs(tuple(gru_input), weights, leap_input, available, h_0)
    if not training:
        arrays = _forward(inputs, gate, noise, is_sampled=False, saved=int(return_states))
        states = arrays.made[0] if return_states else None
        return Recurrence(arrays.h_last, states, arrays.logits)

    flat = [tensor for tensor in tf.nest.flatten(inputs) if tensor is not None]

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[list[tf.Tensor], Any]:
        given = _unflatten(inputs, tensors)
        arrays = _forward(given, gate, noise, is_sampled=True, saved=len(GRUStep._fields))
        outputs = [arrays.h_last]
        if return_states:
            outputs.append(arrays.made[0])
        if gate is not None:
            outputs.append(arrays.logits)

        def gradient(*d_outputs: tf.Tensor) -> list[tf.Tensor]:
            d_last, *others = d_outputs
            d_states = others.pop(0) if return_states else None
            d_logits = others.pop(0) if gate is not None else None
            d_inputs = _backward(given, gate, noise, arrays, d_last, d_states, d_logits)
            return [tensor for tensor in tf.nest.flatten(d_inputs) if tensor is not None]

        return outputs, gradient

    h_last, *others = run(*flat)
    states = others.pop(0) if return_states else None
    return Recurrence(h_last, states, others.pop(0) if gate is not None else None)


def _unflatten(inputs: _Inputs, tensors: Sequence[tf.Tensor]) -> _Inputs:
    """Put tensors where those of `inputs` are."""
    remaining = iter(tensors)
    parts = [None if part is None else next(remaining) for part in tf.nest.flatten(inputs)]
    return tf.nest.pack_sequence_as(inputs, parts)


class _Arrays(NamedTuple):
    """Everything that the forward loop makes; `made` are h_t and `GRUStep` but for its h.

    They are tensors and no arrays of them: a SavedModel can store the former.
    """

    h_last: tf.Tensor
    logits: tf.Tensor | None
    made: list[tf.Tensor]


def _forward(
    inputs: _Inputs, gate: LeapGate | None, noise: tf.Tensor | None, is_sampled: bool, saved: int
) -> _Arrays:
    """Run the loop; of the values that a step makes, the first `saved` are stored."""
    gru_input, weights, leap_input, available, h_0 = inputs
    time, batch = tf.unstack(tf.shape(gru_input[0])[:2])
    kernels, w_q = gate_kernels(weights.U), weights.w_q
    units = weights.c.shape[0]
    is_gated = gate is not None

    def leap_logit(t: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
        assert leap_input is not None and w_q is not None
        return leap_input[t] + tf.matmul(h, w_q[:, None])

    def retained(t: tf.Tensor, logit: tf.Tensor | None) -> tf.Tensor | None:
        if gate is None:
            return None if available is None else available[t]
        at_t = None if noise is None else noise[t]
        g = gate.hard(logit, at_t) if is_sampled else gate(logit, at_t, False)
        return 1 - g if available is None else (1 - g) * available[t]

    def step(
        t: tf.Tensor, h: tf.Tensor, products: list[tf.Tensor], logit: Any, arrays: Any
    ) -> tuple[tf.Tensor, Any]:
        made = gru_step(h, [part[t] for part in gru_input], products, weights.c)
        k = retained(t, logit)
        h = made.h if k is None else (1 - k) * h + k * made.h
        parts = [h, *made[1:]][:saved] + ([logit] if is_gated else [])
        return h, [array.write(t, part) for array, part in zip(arrays, parts, strict=True)]

    def body(t: tf.Tensor, h: tf.Tensor, arrays: Any) -> Any:
        products = [tf.matmul(h, kernel) for kernel in kernels]
        return t + 1, *step(t, h, products, leap_logit(t, h) if is_gated else None, arrays)

    arrays = _arrays(time, saved * [units] + ([1] if is_gated else []), gru_input[0].dtype)
    first = tf.constant(0)
    if h_0 is None:
        h = tf.zeros([batch, units], gru_input[0].dtype)
        logit = leap_input[0] if is_gated else None  # type: ignore[index]
        h, arrays = step(first, h, 3 * [h], logit, arrays)
        first += 1
    else:
        h = h_0
    h.set_shape([None, units])
    _, h_last, arrays = tf.while_loop(lambda t, *_: t < time, body, (first, h, arrays))
    stacked = [array.stack() for array in arrays]
    return _Arrays(h_last, stacked[-1] if is_gated else None, stacked[:saved])


def _backward(
    inputs: _Inputs,
    gate: LeapGate | None,
    noise: tf.Tensor | None,
    arrays: _Arrays,
    d_last: tf.Tensor,
    d_states: tf.Tensor | None,
    d_logits: tf.Tensor | None,
) -> _Inputs:
    """Compute the gradients by all inputs."""
    gru_input, weights, _, available, h_0 = inputs
    made, kernels, w_q = arrays.made, gate_kernels(weights.U), weights.w_q
    time, dtype = tf.shape(gru_input[0])[0], gru_input[0].dtype
    g = slope = None
    if gate is not None:
        g, slope = gate.hard(arrays.logits, noise), gate.slope(arrays.logits, noise)

    def step(t: tf.Tensor, d_h: tf.Tensor, before: tf.Tensor, arrays: Any) -> Any:
        """Compute the gradients by the parts of h_t; those by h_{t-1} without the products'."""
        update, reset, candidate, recurrent = (part[t] for part in made[1:])
        away = (1 - update) * (before - candidate)  # h_{t-1} less the GRU's state
        d_gates, d_logit = [], None
        if gate is None:
            k = None if available is None else available[t]
        else:
            passed = 1 - g[t]  # type: ignore[index]
            k = passed if available is None else passed * available[t]
        if gate is not None or available is not None:
            d_k = -tf.reduce_sum(d_h * away, axis=1, keepdims=True)
            if gate is not None:
                d_g = -d_k if available is None else -d_k * available[t]
                d_logit = d_logits[t] + slope[t] * d_g  # type: ignore[index]
                d_gates.append(d_logit)
            if available is not None:
                d_gates.append(d_k if gate is None else d_k * passed)
        d_gru = d_h if k is None else k * d_h
        d_update = d_gru * away * update
        d_candidate = d_gru * (1 - update) * (1 - candidate * candidate)
        d_recurrent = d_candidate * reset
        d_reset = d_recurrent * recurrent * (1 - reset)
        parts = (d_update, d_reset, d_candidate, d_recurrent, *d_gates)
        arrays = [array.write(t, part) for array, part in zip(arrays, parts, strict=True)]
        direct = d_gru * update if k is None else (d_h - d_gru) + d_gru * update
        return direct, d_logit, (d_update, d_reset, d_recurrent), arrays

    def chain(t: tf.Tensor, d_h: tf.Tensor, before: tf.Tensor, arrays: Any) -> Any:
        """Compute the gradient by h_{t-1}."""
        direct, d_logit, d_products, arrays = step(t, d_h, before, arrays)
        by_products = zip(d_products, kernels, strict=True)
        through = [tf.matmul(d, kernel, transpose_b=True) for d, kernel in by_products]
        if w_q is not None:
            through.append(d_logit * w_q)
        return tf.add_n([direct, *through]), arrays

    def body(t: tf.Tensor, d_h: tf.Tensor, arrays: Any) -> Any:
        d_h, arrays = chain(t, d_h, made[0][t - 1], arrays)
        return t - 1, d_h if d_states is None else d_h + d_states[t - 1], arrays

    widths = 4 * [weights.c.shape[0]]
    widths += [1] * ((gate is not None) + (available is not None))
    if d_states is not None:
        d_last += d_states[-1]
    loop = (time - 1, d_last, _arrays(time, widths, dtype))
    _, d_h, results = tf.while_loop(lambda t, *_: t > 0, body, loop)
    d_h_0 = None
    if h_0 is None:
        *_, results = step(tf.constant(0), d_h, tf.zeros_like(d_last), results)
        before, since = made[0][:-1], 1
    else:
        d_h_0, results = chain(tf.constant(0), d_h, h_0, results)
        before, since = tf.concat([h_0[None], made[0][:-1]], axis=0), 0
    d_update, d_reset, d_candidate, d_recurrent, *d_gates = (array.stack() for array in results)
    d_leap_input = d_gates.pop(0) if gate is not None else None
    d_kernels = [
        tf.tensordot(before, d[since:], [[0, 1], [0, 1]]) for d in (d_update, d_reset, d_recurrent)
    ]
    d_w_q = None
    if w_q is not None:
        d_w_q = tf.reduce_sum(before * d_leap_input[since:], axis=[0, 1])  # type: ignore[index]
    d_weights = RecurrentWeights(
        tf.concat(d_kernels, axis=1), tf.reduce_sum(d_recurrent, axis=[0, 1]), d_w_q
    )
    d_available = d_gates.pop(0) if available is not None else None
    return _Inputs((d_update, d_reset, d_candidate), d_weights, d_leap_input, d_available, d_h_0)


def _arrays(time: tf.Tensor, widths: Sequence[int], dtype: tf.DType) -> list[tf.TensorArray]:
    """Arrays over time of [batch, width]; they may be read more than once."""
    return [
        tf.TensorArray(dtype, time, clear_after_read=False, element_shape=[None, width])
        for width in widths
    ]
