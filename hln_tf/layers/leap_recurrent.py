"""The Leap Recurrent Unit (eq. 1-4): its recurrence and its input side."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import UsageError
from hln_tf.layers.choices import GATES, INFERENCE_GATES
from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.recurrent_ops import GRUStep, run_recurrence

# Leap logit of a padded step. Its sigmoid is exactly 1 at every temperature, so
# the step is leapt, whatever the noise, and its gradient is exactly 0.
PADDING_LOGIT = 1e6
# That of a step that is always kept.
KEEPING_LOGIT = -1e6


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentCell(keras.layers.Layer):
    """One step of the Leap Recurrent Unit, on inputs that are already projected.

    Nothing that is independent of h_{l,t-1} happens here: the caller projects
    all steps of a session in one product. What remains of eq. 2 and 4 is

        logit = w_q^T h_{t-1} + leap_input                          (eq. 2)
        h_t   = h_{t-1} if g = 1, GRU(h_{t-1}, gru_input) otherwise (eq. 4)

    with g the leap gate. The GRU is Keras' with `reset_after`, its gates in the
    order update, reset, candidate; of the biases beside h_{t-1} it has that of the
    candidate alone, c, as those of the gates add nothing to those in `gru_input`.

    Args:
      units: Size n of the hidden state.
      temperature: Temperature of the relaxed gate in training.
      inference_gate: The gate at inference: `hard` leaps where the probability
        of leaping exceeds 1/2, `expected` mixes by the probability, `sampled`
        draws as in training.
      sees_state: Whether the leap logit depends on h_{t-1}; without, there is no w_q.

    Call arguments:
      inputs: `(gru_input [batch, 3 n], leap_input [batch, 1], noise [batch, 1])`.
        The noise is logistic; it is ignored where the gate is not sampled.
      states: `[h_{t-1}]`, [batch, n].
      training: Whether to sample the gate straight-through.

    Returns:
      The leap logit [batch, 1], whose sigmoid is p_{l,t}, and `[h_t]`.
    """

    def __init__(
        self,
        units: int,
        temperature: float = 1.0,
        inference_gate: str = "hard",
        sees_state: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise UsageError(f"`units` must be at least 1, received {units}")
        if not temperature > 0:
            raise UsageError(f"`temperature` must be above 0, received {temperature}")
        if inference_gate not in INFERENCE_GATES:
            raise UsageError(
                f"`inference_gate` must be one of {INFERENCE_GATES}, received {inference_gate!r}"
            )
        self.units = units
        self.temperature = temperature
        self.inference_gate = inference_gate
        self.sees_state = sees_state
        self.state_size = units
        self.output_size = 1

    def build(self, input_shape: Any) -> None:
        """Adds the weights that meet the hidden state: U, c and w_q."""
        n = self.units
        self.U = self.add_weight(name="U", shape=(n, 3 * n), initializer="orthogonal")
        self.c = self.add_weight(name="c", shape=(n,), initializer="zeros")
        if self.sees_state:
            self.w_q = self.add_weight(name="w_q", shape=(n,), initializer=vector_initializer(n))
        super().build(input_shape)

    def call(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        states: list[tf.Tensor],
        training: bool | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """See the class."""
        gru_input, leap_input, noise = inputs
        h = states[0]
        logit = self.leap_logit(h, leap_input)
        products = [tf.matmul(h, kernel) for kernel in self.kernels()]
        step = self.advance(h, tf.split(gru_input, 3, axis=1), products)
        g = self.gate(logit, noise, training)
        return logit, [g * h + (1 - g) * step.h]

    def kernels(self) -> list[tf.Tensor]:
        """U of the update gate, the reset gate and the candidate, each [n, n].

        Apart, small products run side by side, and none is cut up after.
        """
        return tf.split(tf.convert_to_tensor(self.U), 3, axis=1)

    def leap_logit(self, h: tf.Tensor, leap_input: tf.Tensor) -> tf.Tensor:
        """The leap logit [batch, 1] from h_{t-1} and what does not depend on it (eq. 2)."""
        return leap_input + tf.matmul(h, self.w_q[:, None]) if self.sees_state else leap_input

    def advance(
        self, h: tf.Tensor, gru_input: Sequence[tf.Tensor], products: Sequence[tf.Tensor]
    ) -> GRUStep:
        """The GRU's next state (eq. 4).

        Args:
          h: h_{t-1}, [batch, n].
          gru_input: [batch, n] for each of the gates.
          products: h_{t-1} times each of the `kernels`, [batch, n].
        """
        update = tf.sigmoid(gru_input[0] + products[0])
        reset = tf.sigmoid(gru_input[1] + products[1])
        recurrent = products[2] + self.c
        candidate = tf.tanh(gru_input[2] + reset * recurrent)
        return GRUStep(candidate + update * (h - candidate), update, reset, candidate, recurrent)

    def gate(self, logit: tf.Tensor, noise: tf.Tensor, training: bool | None) -> tf.Tensor:
        """The leap gate g_{l,t}, 1 where the step is leapt (eq. 3)."""
        if training or self.inference_gate == "sampled":
            return LeapGate(self.temperature, logits=logit).straight_through(noise)
        if self.inference_gate == "expected":
            return tf.sigmoid(logit)
        return tf.cast(logit > 0, logit.dtype)

    def drawn_gate(self, logit: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """The value of the gate in training, without its gradient."""
        return LeapGate(self.temperature, logits=logit).hard(noise)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        return {
            **super().get_config(),
            "units": self.units,
            "temperature": self.temperature,
            "inference_gate": self.inference_gate,
            "sees_state": self.sees_state,
        }


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentUnit(keras.layers.Layer):
    """One pass of the Leap Recurrent Unit over sessions (eq. 1-4).

    One set of weights serves all passes. `project` holds what the passes share;
    a call adds the preferences learnt so far and runs the recurrence.

    Args:
      units: Size n of the hidden state.
      temperature: Temperature of the relaxed gate in training.
      leap_bias: Start value of b in eq. 2; below 0 the gate starts by keeping.
      inference_gate: See `LeapRecurrentCell`.
      gates: `both` is the paper's unit; `leap` leaves out the preference gate,
        g_p = 1; `none` keeps every click, which leaves a GRU.
    """

    def __init__(
        self,
        units: int,
        temperature: float = 1.0,
        leap_bias: float = 0.0,
        inference_gate: str = "hard",
        gates: str = "both",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if gates not in GATES:
            raise UsageError(f"`gates` must be one of {GATES}, received {gates!r}")
        self.cell = LeapRecurrentCell(
            units, temperature, inference_gate, sees_state=gates != "none", name="cell"
        )
        self.leap_bias = leap_bias
        self.gates = gates

    def build(self, input_shape: tf.TensorShape) -> None:
        """Adds the weights that meet the items: the GRU's kernel, W_p, U_p, u_q and b."""
        d, n = input_shape[-1], self.cell.units
        with tf.name_scope(self.cell.name):
            self.cell.build(None)
        self.kernel = self.add_weight(name="kernel", shape=(d, 3 * n))
        self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")
        if self.gates == "both":
            self.W_p = self.add_weight(name="W_p", shape=(d, d))
            self.U_p = self.add_weight(name="U_p", shape=(d, n))
        if self.gates != "none":
            self.u_q = self.add_weight(name="u_q", shape=(d,), initializer=vector_initializer(d))
            self.b = self.add_weight(
                name="b", shape=(), initializer=keras.initializers.Constant(self.leap_bias)
            )
        super().build(input_shape)

    def project(self, x: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor | None]:
        """The products with the item vectors that all passes share.

        Args:
          x: float [batch, time, d].

        Returns:
          The inputs of the GRU's gates, [time, batch, n] each, and, for the
          preference gate, W_p x [batch, time, d].
        """
        if not self.built:
            self.build(x.shape)
        gru_input = gate_inputs(x, self.kernel, self.bias)
        if self.gates != "both":
            return gru_input, None
        return gru_input, tf.tensordot(x, tf.transpose(self.W_p), 1)

    def call(
        self,
        x: tf.Tensor,
        projected: tuple[list[tf.Tensor], tf.Tensor | None],
        a: tf.Tensor,
        noise: tf.Tensor,
        mask: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Learns one preference.

        Args:
          x: float [batch, time, d], item vectors.
          projected: What `project(x)` returned.
          a: float [batch, n], the preferences learnt so far, a_{l-1}.
          noise: float [batch, time], logistic noise of the gates.
          mask: bool [batch, time], False at padding.
          training: Whether to sample the gates straight-through.

        Returns:
          The preference h_{l,last} [batch, n] and the leap logits
          [batch, time], whose sigmoid is p_{l,t}.
        """
        gru_input, W_p_x = projected
        leap_input = tf.where(mask, self._leap_input(x, W_p_x, a), PADDING_LOGIT)
        logits, h_last = run_recurrence(
            self.cell,
            gru_input,
            tf.transpose(leap_input)[..., None],
            tf.transpose(noise)[..., None],
            training,
        )
        return h_last, tf.transpose(logits[..., 0])

    def _leap_input(self, x: tf.Tensor, W_p_x: tf.Tensor | None, a: tf.Tensor) -> tf.Tensor:
        """What of the leap logit does not depend on h_{t-1} (eq. 1, 2), [batch, time]."""
        if self.gates == "none":
            return tf.fill(tf.shape(x)[:2], KEEPING_LOGIT)
        if W_p_x is not None:
            x *= tf.sigmoid(W_p_x + tf.matmul(a, self.U_p, transpose_b=True)[:, None, :])
        return tf.reduce_sum(x * self.u_q, axis=-1) + self.b

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {
            **super().get_config(),
            "units": self.cell.units,
            "temperature": self.cell.temperature,
            "leap_bias": self.leap_bias,
            "inference_gate": self.cell.inference_gate,
            "gates": self.gates,
        }


def gate_inputs(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> list[tf.Tensor]:
    """The inputs of a GRU's gates.

    Args:
      x: float [batch, time, d].
      kernel: float [d, 3 n], in the order update, reset, candidate.
      bias: float [3 n].

    Returns:
      [time, batch, n] for each gate.
    """
    by_time = tf.transpose(x, [1, 0, 2])
    gates = zip(tf.split(kernel, 3, axis=1), tf.split(bias, 3), strict=True)
    return [tf.tensordot(by_time, part, 1) + part_bias for part, part_bias in gates]


def vector_initializer(size: int) -> Any:
    """Uniform on +-1/sqrt(size), for weight vectors that Glorot has no fan for."""
    bound = size**-0.5
    return keras.initializers.RandomUniform(-bound, bound)
