"""The Leap Recurrent Unit over whole sessions (eq. 1-4)."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.cell_steps import run_cell
from hln_tf.layers.checked_call import (
    EMBEDDINGS,
    CheckedCall,
    check_floats,
    check_shape,
    sizes_of,
)
from hln_tf.layers.leap_recurrent_cell import LeapRecurrentCell
from hln_tf.layers.recurrent_ops import Recurrence, run_recurrence
from hln_tf.layers.time_major import by_time, gate_inputs, gates_of_clicks, leap_probabilities


class Projection(NamedTuple):
    """Products of the item embeddings that all passes over a session share.

    Attributes:
      x: float [batch, time, d], the item embeddings.
      gru_input: Inputs of the GRU's gates, [time, batch, n] each.
      W_p_x: W_p x, [batch, time, d]; None without a preference gate.
      leap_key: See `LeapInput`, [time, batch, n]; None without a predictive gate.
    """

    x: tf.Tensor
    gru_input: list[tf.Tensor]
    W_p_x: tf.Tensor | None
    leap_key: tf.Tensor | None


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentUnit(CheckedCall, keras.layers.RNN):
    """`keras.layers.RNN` over a `LeapRecurrentCell`, with a fused path for whole sessions.

    The fused path computes what does not depend on h_{t-1} for all steps at once
    and has a gradient of its own; it equals the cell step by step, for the same
    noise, up to rounding. It is taken unless `fused` is False or the layer is
    stateful, unrolled, time major, backwards or zeroes its output at padding.

    At a masked step the state stays as it is and the output repeats the one
    before, zero at first, as in every Keras RNN. A program that loads a Keras
    model with this layer imports it, or any other name of `hln_tf.layers`, first:
    `from hln_tf.layers import LeapRecurrentUnit`.

    Args:
      units: Size n of the state.
      temperature: See `LeapRecurrentCell`.
      leap_bias: See `LeapRecurrentCell`.
      inference_gate: See `LeapRecurrentCell`.
      gates: See `LeapRecurrentCell`.
      seed: See `LeapRecurrentCell`.
      leap_gate: See `LeapRecurrentCell`.
      leap_threshold: See `LeapRecurrentCell`.
      leap_slope: See `LeapRecurrentCell`.
      normalize: See `LeapRecurrentCell`.
      return_sequences: Whether to return every h_t instead of the last.
      return_state: Whether to return the last state in addition.
      return_leap_probabilities: Whether to return the probability of leaping over
        each click in addition, float [batch, time], 1 at padding, in the order of
        the inputs.
      return_gates: Whether to return the gates g in addition, float [batch, time], 1
        where a click is skipped and at padding, in the order of the inputs. They
        carry the gradient in training; times `available` they are what another pass
        may still retain, if groups are exclusive.
      fused: Whether the fused path may be taken.
      **kwargs: Of `keras.layers.RNN`.

    Call arguments:
      inputs: float [batch, time, d], item embeddings.
      mask: bool [batch, time], False at padding.
      training: Whether to sample the gates straight-through.
      initial_state: `[h_0]`, [batch, n]; zeros without. Of a predictive gate also
        the number of clicks retained before, [batch, 1].
      constants: `[a]`, the aggregate of the preferences before, [batch, n];
        zeros without.
      noise: float [batch, time], logistic noise of the gates; by default sampled
        from the layer's own seeds, where gates are sampled.
      available: float [batch, time], 0 for clicks that must be skipped, else 1.

    Returns:
      h_last [batch, n], or every h_t [batch, time, n]. Where more is asked for, a
      list: outputs, states, leap probabilities, gates, in this order and without
      those that are not asked for. `keras.layers.Bidirectional` merges one output:
      it takes the layer without leap probabilities and gates.

    Attributes:
      joined: Whether the fused path takes one product with h_{t-1} in a step, or one for
        each gate; None for one where TensorFlow has a GPU.

    Raises:
      TypeError: `inputs` holds no floats, or an argument or the caller is Keras 3's.
      ValueError: An argument is not allowed, or has another shape.

    Example:
    >>> import tf_keras as keras
    >>> items = keras.Input([None], dtype="int32")
    >>> x = keras.layers.Embedding(50, 8, mask_zero=True)(items)
    >>> model = keras.Model(items, LeapRecurrentUnit(6)(x))
    >>> model(tf.constant([[3, 7, 7, 0], [9, 1, 4, 2]])).shape
    TensorShape([2, 6])
    """

    def __init__(
        self,
        units: int,
        temperature: float = 1.0,
        leap_bias: float = 0.0,
        inference_gate: str = "hard",
        gates: str = "both",
        seed: int | None = None,
        leap_gate: str = "additive",
        leap_threshold: float = 2.0,
        leap_slope: float = 1.0,
        normalize: bool = False,
        return_sequences: bool = False,
        return_state: bool = False,
        return_leap_probabilities: bool = False,
        return_gates: bool = False,
        fused: bool = True,
        **kwargs: Any,
    ) -> None:
        cell = LeapRecurrentCell(
            units,
            temperature,
            leap_bias,
            inference_gate,
            gates,
            seed,
            leap_gate,
            leap_threshold,
            leap_slope,
            normalize,
            name="cell",
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, return_sequences, return_state, **kwargs)
        self.input_spec = [keras.layers.InputSpec(ndim=3)]
        self.return_leap_probabilities = return_leap_probabilities
        self.return_gates = return_gates
        self.fused = fused
        self.joined: bool | None = None

    def __call__(
        self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any
    ) -> Any:
        """Check the arguments and call the layer; see the class."""
        return super().__call__(inputs, initial_state=initial_state, constants=constants, **kwargs)

    def check_call(
        self,
        inputs: Any,
        mask: Any = None,
        constants: Any = None,
        noise: Any = None,
        available: Any = None,
        **others: Any,
    ) -> None:
        """Check the arguments of `call`."""
        x = inputs[0] if isinstance(inputs, list | tuple) and inputs else inputs
        check_floats("inputs", x, EMBEDDINGS)
        axes = ("time", "batch", "d") if self.time_major else ("batch", "time", "d")
        check_shape("inputs", x, axes)
        sizes = sizes_of(x, *axes)
        for name, value in (("mask", mask), ("noise", noise), ("available", available)):
            for tensor in tf.nest.flatten(value)[:1]:
                check_shape(name, tensor, sizes[:2])
        for tensor in tf.nest.flatten(constants):
            check_shape("constants", tensor, (sizes[axes.index("batch")], self.cell.units))

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        initial_state: Any = None,
        constants: Any = None,
        noise: tf.Tensor | None = None,
        available: tf.Tensor | None = None,
    ) -> Any:
        """Run over sessions; see the class."""
        given_state = initial_state
        if isinstance(inputs, list):  # Keras joins tensors of a functional model
            given_state = inputs[1 : len(inputs) - (self._num_constants or 0)] or None
        inputs, initial_state, constants = self._process_inputs(inputs, initial_state, constants)
        if isinstance(inputs, tf.RaggedTensor):
            raise ValueError(
                "`inputs` must be dense and padded, received a RaggedTensor: call `.to_tensor()` "
                "and pass the mask"
            )
        if constants and len(constants) > 1:
            raise ValueError(f"`constants` must hold one tensor, received {len(constants)}")
        mask = tf.cast(tf.nest.flatten(mask)[0], tf.bool) if mask is not None else None
        if noise is None and self.cell.is_gated and self.cell.gate.is_sampled(training):
            noise = self.cell.sample_noise(tf.shape(inputs)[:2])
        if not self._takes_fused_path():
            return self._results(
                *run_cell(self, inputs, mask, training, initial_state, constants, noise, available)
            )
        h_0, retained_0 = [*initial_state, None][:2] if given_state is not None else (None, None)
        a = constants[0] if constants else None
        result = self.run_pass(
            self.project(inputs),
            a,
            mask,
            training,
            noise,
            available,
            h_0,
            retained_0,
            self.return_sequences,
        )
        states = result.states
        outputs = result.h_last if states is None else tf.transpose(states, [1, 0, 2])
        if mask is not None and given_state is not None:
            # As in every Keras RNN, outputs before the first click are zero.
            is_begun = tf.cumsum(tf.cast(mask, outputs.dtype), axis=1)[..., None] > 0
            outputs = tf.where(is_begun[:, -1] if states is None else is_begun, outputs, 0)
        of_clicks = []
        if self.return_leap_probabilities:
            of_clicks.append(leap_probabilities(result.logits, mask, available, inputs))
        if self.return_gates:
            of_clicks.append(gates_of_clicks(result.gates, mask, inputs))
        last = [result.h_last] if result.retained is None else [result.h_last, result.retained]
        return self._results(outputs, last, of_clicks)

    def project(self, x: tf.Tensor) -> Projection:
        """Compute the products with item embeddings that all passes share.

        Args:
          x: float [batch, time, d].
        """
        if not self.built:
            self.build(x.shape)
        cell = self.cell
        gru_input = gate_inputs(x, cell.kernel, cell.bias)
        W_p_x = tf.tensordot(x, tf.transpose(cell.W_p), 1) if cell.has_preference_gate else None
        return Projection(x, gru_input, W_p_x, cell.leap_key(tf.transpose(x, [1, 0, 2])))

    def run_pass(
        self,
        projection: Projection,
        a: tf.Tensor | None,
        mask: tf.Tensor | None,
        training: bool | None,
        noise: tf.Tensor | None = None,
        available: tf.Tensor | None = None,
        h_0: tf.Tensor | None = None,
        retained_0: tf.Tensor | None = None,
        return_states: bool = False,
    ) -> Recurrence:
        """Run one pass by the fused path.

        Args:
          projection: The result of `project`.
          a: The aggregate of the preferences before, [batch, n]; None for zeros.
          mask: bool [batch, time], False at padding, or None.
          training: Whether to sample the gates straight-through.
          noise: float [batch, time], logistic, where the gates are sampled.
          available: float [batch, time], 0 for clicks that must be skipped.
          h_0: The initial state, [batch, n]; None for zeros.
          retained_0: Of a predictive gate, the number of clicks retained before,
            [batch, 1]; None for zeros.
          return_states: Whether to return every state.

        Returns:
          The last state, every state where asked for, and the leap logits and gates.
        """
        cell, x = self.cell, projection.x
        if mask is not None:
            is_click = tf.cast(mask, x.dtype)
            available = is_click if available is None else is_click * available
        leap = None
        if cell.is_gated:
            U_p_a = None
            if cell.has_preference_gate:
                a = tf.zeros([tf.shape(x)[0], cell.units], x.dtype) if a is None else a
                U_p_a = tf.matmul(a, cell.U_p, transpose_b=True)[:, None, :]
            bias = cell.leap_bias_of(x, projection.W_p_x, U_p_a)
            leap = cell.leap_input(tf.transpose(bias, [1, 0, 2]), projection.leap_key)
        return run_recurrence(
            projection.gru_input,
            cell.recurrent_weights(),
            cell.gate if cell.is_gated else None,
            leap,
            by_time(noise),
            by_time(available),
            h_0,
            retained_0,
            training,
            return_states,
            self.joined,
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the outputs; last states, probabilities and gates have none."""
        masks = super().compute_mask(inputs, mask)
        count = self.return_leap_probabilities + self.return_gates
        if not count:
            return masks
        return [*(masks if isinstance(masks, list) else [masks]), *count * [None]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of what the layer returns."""
        shapes = super().compute_output_shape(input_shape)
        count = self.return_leap_probabilities + self.return_gates
        if not count:
            return shapes
        first = input_shape[0] if isinstance(input_shape, list) else input_shape
        shapes = shapes if isinstance(shapes, list) else [shapes]
        return [*shapes, *count * [tf.TensorShape(first)[:2]]]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        config = super().get_config()
        del config["cell"]
        own = self.cell.get_config()
        shared = inspect.signature(LeapRecurrentCell).parameters.keys() - {"kwargs"}
        return (
            config
            | {name: own[name] for name in own if name in shared}
            | {
                "return_leap_probabilities": self.return_leap_probabilities,
                "return_gates": self.return_gates,
                "fused": self.fused,
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "LeapRecurrentUnit":
        """Make a layer from what `get_config` returned."""
        config = dict(config)
        num_constants = config.pop("num_constants", None)
        layer = cls(**config)
        layer._num_constants = num_constants  # as `keras.layers.RNN.from_config` does
        return layer

    def _takes_fused_path(self) -> bool:
        others = (self.stateful, self.unroll, self.time_major, self.go_backwards)
        return self.fused and not any(others) and not self.zero_output_for_mask

    def _results(
        self, outputs: tf.Tensor, states: Sequence[tf.Tensor], of_clicks: Sequence[tf.Tensor]
    ) -> Any:
        results = [outputs, *(states if self.return_state else []), *of_clicks]
        return results[0] if len(results) == 1 else results
