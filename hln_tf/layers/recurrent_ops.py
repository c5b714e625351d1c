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
from hln_tf.layers.leap_logit import LeapInput


class RecurrentWeights(NamedTuple):
    """The GRU's weights that meet the hidden state.

    Attributes:
      U: float [n, 3 n], of the GRU's gates in the order update, reset, candidate.
      c: float [n], bias of the candidate, which the reset gate scales too.
    """

    U: tf.Tensor
    c: tf.Tensor


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
      gates: float [time, batch, 1], the gates g, with the straight-through
        estimator's gradient in training; None without a leap gate.
      retained: float [batch, 1], the sum of k; None unless the gate `retains_first`.
    """

    h_last: tf.Tensor
    states: tf.Tensor | None
    logits: tf.Tensor | None
    gates: tf.Tensor | None
    retained: tf.Tensor | None


class _Inputs(NamedTuple):
    """The differentiable inputs of a recurrence; what is missing is None."""

    gru_input: tuple[tf.Tensor, ...]
    weights: RecurrentWeights
    leap: LeapInput | None
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

    On a processor small products of their own run side by side, and no result is split
    afterwards.
    """
    return tf.split(U, 3, axis=1)


def run_recurrence(
    gru_input: Sequence[tf.Tensor],
    weights: RecurrentWeights,
    gate: LeapGate | None = None,
    leap: LeapInput | None = None,
    noise: tf.Tensor | None = None,
    available: tf.Tensor | None = None,
    h_0: tf.Tensor | None = None,
    retained_0: tf.Tensor | None = None,
    training: bool | None = None,
    return_states: bool = False,
    joined: bool | None = None,
) -> Recurrence:
    """Run a GRU, with or without a leap gate, over all steps, at least one.

    With g the leap gate and v what is available, h_t = k GRU(h_{t-1}, x_t) +
    (1 - k) h_{t-1}, where k = (1 - g) v.

    Args:
      gru_input: [time, batch, n] for each of the GRU's gates.
      weights: Those that meet the hidden state.
      gate: The leap gate; None for a GRU.
      leap: What the leap logits need in addition to the state.
      noise: [time, batch, 1], logistic, where the gate is sampled.
      available: [time, batch, 1], 0 at padding and where a click must be
        skipped, else 1; None where all are available.
      h_0: [batch, n], the initial state; None for zeros.
      retained_0: [batch, 1], the sum of k before; None for zeros.
      training: Whether a gradient is needed; the gate is then sampled.
      return_states: Whether to return every state.
      joined: Whether the weights that meet h_{t-1} are joined to one matrix, for one
        product in a step; None where TensorFlow has a GPU, which launches each product.
    """
    if joined is None:
        joined = bool(tf.config.list_physical_devices("GPU"))
    inputs = _Inputs(tuple(gru_input), weights, leap, available, h_0)
    if not training:
        arrays = _forward(
            inputs, gate, noise, retained_0, joined, is_sampled=False, saved=int(return_states)
        )
        states = arrays.made[0] if return_states else None
        return Recurrence(arrays.h_last, states, arrays.logits, arrays.gates, arrays.retained_last)

    flat = [tensor for tensor in tf.nest.flatten(inputs) if tensor is not None]

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[Any, Any]:
        given = _unflatten(inputs, tensors)
        arrays = _forward(
            given, gate, noise, retained_0, joined, is_sampled=True, saved=len(GRUStep._fields)
        )
        states = arrays.made[0] if return_states else None
        outputs = arrays.h_last, states, arrays.logits, arrays.gates, arrays.retained_last
        is_made = [output is not None for output in outputs]

        def gradient(*d_made: tf.Tensor) -> list[tf.Tensor]:
            remaining = iter(d_made)
            d_outputs = Recurrence(*(next(remaining) if made else None for made in is_made))
            d_inputs = _backward(given, gate, noise, joined, arrays, d_outputs)
            return [tensor for tensor in tf.nest.flatten(d_inputs) if tensor is not None]

        return [output for output in outputs if output is not None], gradient

    h_last, *others = run(*flat)
    states = others.pop(0) if return_states else None
    return Recurrence(h_last, states, *others, *[None] * (3 - len(others)))


def _unflatten(inputs: _Inputs, tensors: Sequence[tf.Tensor]) -> _Inputs:
    """Put tensors where those of `inputs` are."""
    remaining = iter(tensors)
    parts = [None if part is None else next(remaining) for part in tf.nest.flatten(inputs)]
    return tf.nest.pack_sequence_as(inputs, parts)


class _Arrays(NamedTuple):
    """Everything that the forward loop makes; `made` are h_t and `GRUStep` but for its h.

    They are tensors and no arrays of them: a SavedModel can store the former.
    `retained` is the sum of k before each step.
    """

    h_last: tf.Tensor
    made: list[tf.Tensor]
    logits: tf.Tensor | None = None
    gates: tf.Tensor | None = None
    retained: tf.Tensor | None = None
    retained_last: tf.Tensor | None = None


def _forward(
    inputs: _Inputs,
    gate: LeapGate | None,
    noise: tf.Tensor | None,
    retained_0: tf.Tensor | None,
    joined: bool,
    is_sampled: bool,
    saved: int,
) -> _Arrays:
    """Run the loop; of the values that a step makes, the first `saved` are stored."""
    gru_input, weights, leap, available, h_0 = inputs
    time, batch = tf.unstack(tf.shape(gru_input[0])[:2])
    kernels, units, dtype = gate_kernels(weights.U), weights.c.shape[0], gru_input[0].dtype
    kernels += [] if leap is None else leap.kernels()
    widths = [kernel.shape[1] for kernel in kernels]
    if joined:
        kernels = [tf.concat(kernels, axis=1)]

    def gate_values(logit: tf.Tensor, at_t: tf.Tensor | None) -> tf.Tensor:
        assert gate is not None
        return gate.hard(logit, at_t) if is_sampled else gate(logit, at_t, False)

    def step(
        t: tf.Tensor, h: tf.Tensor, retained: Any, products: Any, logit: Any, arrays: Any
    ) -> tuple[tf.Tensor, Any, Any]:
        made = gru_step(h, [part[t] for part in gru_input], products, weights.c)
        k = None if available is None else available[t]
        of_gate = []
        if gate is not None:
            at_t = None if noise is None else noise[t]
            logit, at_t = gate.at_begin(logit, at_t, *retained)
            of_gate = [logit, *retained]
            passed = 1 - gate_values(logit, at_t)
            k = passed if k is None else passed * k
        h = made.h if k is None else (1 - k) * h + k * made.h
        parts = [h, *made[1:]][:saved] + of_gate
        arrays = [array.write(t, part) for array, part in zip(arrays, parts, strict=True)]
        return h, [before + k for before in retained], arrays

    def body(t: tf.Tensor, h: tf.Tensor, retained: Any, arrays: Any) -> Any:
        products = [tf.matmul(h, kernel) for kernel in kernels]
        if joined:
            products = tf.split(products[0], widths, axis=1)
        logit = None if leap is None else leap.at(t).logit(h, products[3:])
        return t + 1, *step(t, h, retained, products, logit, arrays)

    retained = []
    if gate is not None and gate.retains_first:
        retained = [tf.zeros([batch, 1], dtype) if retained_0 is None else retained_0]
    of_gate = 0 if gate is None else 1 + len(retained)
    arrays = _arrays(time, saved * [units] + of_gate * [1], dtype)
    first = tf.constant(0)
    if h_0 is None:
        h = tf.zeros([batch, units], dtype)
        logit = None if leap is None else leap.bias[0]
        h, retained, arrays = step(first, h, retained, 3 * [h], logit, arrays)
        first += 1
    else:
        h = h_0
    h.set_shape([None, units])
    _, h_last, retained, arrays = tf.while_loop(
        lambda t, *_: t < time, body, (first, h, retained, arrays)
    )
    made = [array.stack() for array in arrays]
    if gate is None:
        return _Arrays(h_last, made)
    logits, *before = made[saved:]
    gates = gate_values(*gate.at_begin(logits, noise, *before))
    return _Arrays(h_last, made[:saved], logits, gates, *before, *retained)


def _backward(
    inputs: _Inputs,
    gate: LeapGate | None,
    noise: tf.Tensor | None,
    joined: bool,
    arrays: _Arrays,
    d_outputs: Recurrence,
) -> _Inputs:
    """Compute the gradients by all inputs."""
    gru_input, weights, leap, available, h_0 = inputs
    made, kernels = arrays.made, gate_kernels(weights.U)
    time, dtype = tf.shape(gru_input[0])[0], gru_input[0].dtype
    # The states before the steps that have one: without h_0 the first step starts from zero.
    since = 1 if h_0 is None else 0
    before = made[0][:-1] if h_0 is None else tf.concat([h_0[None], made[0][:-1]], axis=0)
    slope = by_h = None
    if gate is not None:
        assert leap is not None
        slope = gate.slope(arrays.logits, noise, arrays.retained)
        # What comes from outside by the logits and the gates, both to the logits.
        d_logits = slope * d_outputs.gates + gate.where_begun(d_outputs.logits, arrays.retained)
        by_h = leap.at(slice(since, None)).slope(before)

    def step(t: tf.Tensor, d_h: tf.Tensor, before: tf.Tensor, arrays_: Any) -> Any:
        """Compute the gradients by the parts of h_t; those by h_{t-1} without the products'."""
        update, reset, candidate, recurrent = (part[t] for part in made[1:])
        away = (1 - update) * (before - candidate)  # h_{t-1} less the GRU's state
        d_gates, d_logit = [], None
        if gate is None:
            k = None if available is None else available[t]
        else:
            passed = 1 - arrays.gates[t]  # type: ignore[index]
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
        arrays_ = [array.write(t, part) for array, part in zip(arrays_, parts, strict=True)]
        direct = d_gru * update if k is None else (d_h - d_gru) + d_gru * update
        return direct, d_logit, (d_update, d_reset, d_recurrent), arrays_

    def chain(t: tf.Tensor, d_h: tf.Tensor, before: tf.Tensor, arrays_: Any) -> Any:
        """Compute the gradient by h_{t-1}."""
        direct, d_logit, d_products, arrays_ = step(t, d_h, before, arrays_)
        d_by_kernel = [tf.concat(d_products, axis=1)] if joined else d_products
        by_products = zip(d_by_kernel, [weights.U] if joined else kernels, strict=True)
        through = [tf.matmul(d, kernel, transpose_b=True) for d, kernel in by_products]
        if by_h is not None:
            through.append(d_logit * (by_h if by_h.shape.rank == 1 else by_h[t - since]))
        return tf.add_n([direct, *through]), arrays_

    def body(t: tf.Tensor, d_h: tf.Tensor, arrays_: Any) -> Any:
        d_h, arrays_ = chain(t, d_h, made[0][t - 1], arrays_)
        d_states = d_outputs.states
        return t - 1, d_h if d_states is None else d_h + d_states[t - 1], arrays_

    widths = 4 * [weights.c.shape[0]]
    widths += [1] * ((gate is not None) + (available is not None))
    d_last = d_outputs.h_last
    if d_outputs.states is not None:
        d_last += d_outputs.states[-1]
    loop = (time - 1, d_last, _arrays(time, widths, dtype))
    _, d_h, results = tf.while_loop(lambda t, *_: t > 0, body, loop)
    d_h_0 = None
    if h_0 is None:
        *_, results = step(tf.constant(0), d_h, tf.zeros_like(d_last), results)
    else:
        d_h_0, results = chain(tf.constant(0), d_h, h_0, results)
    d_update, d_reset, d_candidate, d_recurrent, *d_gates = (array.stack() for array in results)
    d_kernels = [
        tf.tensordot(before, d[since:], [[0, 1], [0, 1]]) for d in (d_update, d_reset, d_recurrent)
    ]
    d_weights = RecurrentWeights(
        tf.concat(d_kernels, axis=1), tf.reduce_sum(d_recurrent, axis=[0, 1])
    )
    d_leap = None
    if leap is not None:
        d_logit = d_gates.pop(0)
        d_leap = leap.at(slice(since, None)).gradients(before, d_logit[since:])
        if d_leap.key is not None:
            d_leap = d_leap._replace(key=tf.pad(d_leap.key, [[since, 0], [0, 0], [0, 0]]))
        d_leap = d_leap._replace(bias=d_logit)
    d_available = d_gates.pop(0) if available is not None else None
    return _Inputs((d_update, d_reset, d_candidate), d_weights, d_leap, d_available, d_h_0)


def _arrays(time: tf.Tensor, widths: Sequence[int], dtype: tf.DType) -> list[tf.TensorArray]:
    """Arrays over time of [batch, width]; they may be read more than once."""
    return [
        tf.TensorArray(dtype, time, clear_after_read=False, element_shape=[None, width])
        for width in widths
    ]
