"""The Leap Recurrent Unit over whole sessions (eq. 1-4)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.keras_2 import require_keras_2
from hln_tf.layers.leap_recurrent_cell import LeapRecurrentCell
from hln_tf.layers.recurrent_ops import Recurrence, run_recurrence


class Projection(NamedTuple):
    """Products of the item embeddings that all passes over a session share.

    Attributes:
      x: float [batch, time, d], the item embeddings.
      gru_input: Inputs of the GRU's gates, [time, batch, n] each.
      W_p_x: W_p x, [batch, time, d]; None without a preference gate.
    """

    x: tf.Tensor
    gru_input: list[tf.Tensor]
    W_p_x: tf.Tensor | None


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentUnit(keras.layers.RNN):
    """`keras.layers.RNN` over a `LeapRecurrentCell`, with a fused path for whole sessions.

    The fused path computes what does not depend on h_{t-1} for all steps at once
    and has a gradient of its own; it equals the cell step by step, for the same
    noise, up to rounding. It is taken unless `fused` is False or the layer is
    stateful, unrolled, time major, backwards or zeroes its output at padding.

    At a masked step the state stays as it is and the output repeats the one
    before, zero at first, as in every Keras RNN. As with every custom layer, a
    program that loads a Keras model with this one imports it first.

    Args:
      units: Size n of the state.
      temperature: See `LeapRecurrentCell`.
      leap_bias: See `LeapRecurrentCell`.
      inference_gate: See `LeapRecurrentCell`.
      gates: See `LeapRecurrentCell`.
      seed: See `LeapRecurrentCell`.
      return_sequences: Whether to return every h_t instead of the last.
      return_state: Whether to return the last state in addition.
      return_leap_probabilities: Whether to return the probability of leaping over
        each click in addition, float [batch, time], 1 at padding, in the order of
        the inputs.
      fused: Whether the fused path may be taken.
      **kwargs: Of `keras.layers.RNN`.

    Call arguments:
      inputs: float [batch, time, d], item embeddings.
      mask: bool [batch, time], False at padding.
      training: Whether to sample the gates straight-through.
      initial_state: `[h_0]`, [batch, n]; zeros without.
      constants: `[a]`, the aggregate of the preferences before, [batch, n];
        zeros without.
      noise: float [batch, time], logistic noise of the gates; by default sampled
        from the layer's own seeds, where gates are sampled.
      available: float [batch, time], 0 for clicks that must be skipped, else 1.

    Returns:
      h_last [batch, n], or every h_t [batch, time, n], and what is asked for in
      addition, as a list.

    Raises:
      ValueError: An argument is not allowed.

    Example:
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
        return_sequences: bool = False,
        return_state: bool = False,
        return_leap_probabilities: bool = False,
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
            name="cell",
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, return_sequences, return_state, **kwargs)
        self.input_spec = [keras.layers.InputSpec(ndim=3)]
        self.return_leap_probabilities = return_leap_probabilities
        self.fused = fused

    def __call__(
        self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any
    ) -> Any:
        """Check the tensors' Keras version and call the layer; see the class."""
        given = {"inputs": inputs, "initial_state": initial_state, "constants": constants}
        for name, value in given.items():
            for tensor in tf.nest.flatten(value):
                require_keras_2(tensor, f"`{name}`")
        return super().__call__(inputs, initial_state, constants, **kwargs)

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
        if noise is None and self.cell.gates != "none" and self.cell.gate.is_sampled(training):
            noise = self.cell.sample_noise(tf.shape(inputs)[:2])
        if not self._takes_fused_path():
            return self._run_cell(
                inputs, mask, training, initial_state, constants, noise, available
            )
        state = initial_state[0] if given_state is not None else None
        a = constants[0] if constants else None
        result = self.run_pass(self.project(inputs), a, mask, training, noise, available, state)
        states = result.states
        outputs = result.h_last if states is None else tf.transpose(states, [1, 0, 2])
        if mask is not None and state is not None:
            # As in every Keras RNN, outputs before the first click are zero.
            is_begun = tf.cumsum(tf.cast(mask, outputs.dtype), axis=1)[..., None] > 0
            outputs = tf.where(is_begun[:, -1] if states is None else is_begun, outputs, 0)
        leaps = None
        if self.return_leap_probabilities:
            leaps = leap_probabilities(result.logits, mask, available, inputs)
        return self._results(outputs, result.h_last, leaps)

    def project(self, x: tf.Tensor) -> Projection:
        """Compute the products with item embeddings that all passes share.

        Args:
          x: float [batch, time, d].
        """
        if not self.built:
            self.build(x.shape)
        cell = self.cell
        gru_input = gate_inputs(x, cell.kernel, cell.bias)
        W_p_x = tf.tensordot(x, tf.transpose(cell.W_p), 1) if cell.gates == "both" else None
        return Projection(x, gru_input, W_p_x)

    def run_pass(
        self,
        projection: Projection,
        a: tf.Tensor | None,
        mask: tf.Tensor | None,
        training: bool | None,
        noise: tf.Tensor | None = None,
        available: tf.Tensor | None = None,
        h_0: tf.Tensor | None = None,
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

        Returns:
          The last state, every state where `return_sequences` is set, and the
          leap logits.
        """
        cell, x = self.cell, projection.x
        if mask is not None:
            is_click = tf.cast(mask, x.dtype)
            available = is_click if available is None else is_click * available
        leap_input = None
        if cell.gates != "none":
            gated = x
            if projection.W_p_x is not None:
                a = tf.zeros([tf.shape(x)[0], cell.units], x.dtype) if a is None else a
                from_a = tf.matmul(a, cell.U_p, transpose_b=True)
                gated = x * tf.sigmoid(projection.W_p_x + from_a[:, None, :])
            leap_input = tf.reduce_sum(gated * cell.u_q, axis=-1) + cell.b
        return run_recurrence(
            projection.gru_input,
            cell.recurrent_weights(),
            cell.gate if cell.gates != "none" else None,
            by_time(leap_input),
            by_time(noise),
            by_time(available),
            h_0,
            training,
            self.return_sequences,
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the outputs; last states and probabilities have none."""
        masks = super().compute_mask(inputs, mask)
        if not self.return_leap_probabilities:
            return masks
        return [*(masks if isinstance(masks, list) else [masks]), None]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of what the layer returns."""
        shapes = super().compute_output_shape(input_shape)
        if not self.return_leap_probabilities:
            return shapes
        first = input_shape[0] if isinstance(input_shape, list) else input_shape
        shapes = shapes if isinstance(shapes, list) else [shapes]
        return [*shapes, tf.TensorShape(first)[:2]]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer."""
        config = super().get_config()
        del config["cell"]
        own = self.cell.get_config()
        names = ("units", "temperature", "leap_bias", "inference_gate", "gates", "seed")
        config |= {name: own[name] for name in names}
        config |= {
            "return_leap_probabilities": self.return_leap_probabilities,
            "fused": self.fused,
        }
        return config

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

    def _run_cell(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None,
        training: bool | None,
        initial_state: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor] | None,
        noise: tf.Tensor | None,
        available: tf.Tensor | None,
    ) -> Any:
        """Run the cell step by step, as `keras.layers.RNN` does."""
        time_axis = 0 if self.time_major else 1
        ones = tf.ones(tf.shape(inputs)[:2], inputs.dtype)
        at_steps = (
            inputs,
            (tf.zeros_like(ones) if noise is None else noise)[..., None],
            (ones if available is None else available)[..., None],
        )

        def step(at_step: Any, states: Any) -> tuple[Any, list[tf.Tensor]]:
            a = list(states[1:])
            outputs, new_states = self.cell(at_step, states[:1], constants=a, training=training)
            if not self.return_leap_probabilities:
                return outputs, new_states
            if self.cell.gates == "none":
                leap = tf.zeros_like(outputs[:, :1])
            else:
                leap = tf.sigmoid(self.cell.leap_logit(at_step[0], states[0], a[0] if a else None))
            return tf.concat([outputs, 1 - (1 - leap) * at_step[2]], axis=1), new_states

        last, outputs, states = keras.backend.rnn(
            step,
            at_steps,
            initial_state,
            constants=constants,
            go_backwards=self.go_backwards,
            mask=mask,
            unroll=self.unroll,
            input_length=inputs.shape[time_axis],
            time_major=self.time_major,
            zero_output_for_mask=self.zero_output_for_mask,
            return_all_outputs=self.return_sequences or self.return_leap_probabilities,
        )
        if self.stateful:
            self.states[0].assign(tf.cast(states[0], self.states[0].dtype))
        leaps = None
        if self.return_leap_probabilities:
            outputs, leaps, last = outputs[..., :-1], outputs[..., -1], last[:, :-1]
            if self.go_backwards:  # outputs are in the order of the steps
                leaps = tf.reverse(leaps, [time_axis])
            if mask is not None:
                leaps = tf.where(mask, leaps, 1.0)
        return self._results(outputs if self.return_sequences else last, states[0], leaps)

    def _results(self, outputs: tf.Tensor, state: tf.Tensor, leaps: tf.Tensor | None) -> Any:
        results = [outputs]
        if self.return_state:
            results.append(state)
        if leaps is not None:
            results.append(leaps)
        return results[0] if len(results) == 1 else results


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
    if logits is None:
        leaps = tf.zeros(tf.shape(like)[:2], like.dtype)
    else:
        leaps = tf.sigmoid(tf.transpose(logits[..., 0]))
    if available is not None:
        leaps = 1 - (1 - leaps) * available
    return leaps if mask is None else tf.where(mask, leaps, 1.0)
