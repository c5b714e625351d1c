"""One step of the Leap Recurrent Unit (eq. 1-4)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.choices import GATES, checked_count
from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.recurrent_ops import RecurrentWeights, gate_kernels, gru_step
from hln_tf.layers.relaxed_bernoulli import logistic_noise
from hln_tf.layers.seeds import SeedGenerator


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentCell(keras.layers.Layer):
    """The Leap Recurrent Unit's step: a GRU that may leap over a click (Guo et al., SIGIR 2020).

    With x_t the click's item embedding, h_{t-1} the state and a the aggregate of
    the preferences before this pass,

        g_p   = sigmoid(W_p x_t + U_p a)                         (eq. 1)
        logit = w_q^T h_{t-1} + u_q^T (g_p * x_t) + b            (eq. 2)
        g     ~ RelaxedBernoulli(logit), straight-through        (eq. 3)
        h_t   = g h_{t-1} + (1 - g) GRU(h_{t-1}, x_t)            (eq. 4)

    where g = 1 leaps over the click and sigmoid(logit) is the leap probability.
    The GRU is Keras' with `reset_after`, its gates in the order update, reset,
    candidate; of the biases next to U h_{t-1} it has that of the candidate alone,
    as those of the other gates add to those next to x_t.

    It is a cell for `keras.layers.RNN`. `LeapRecurrentUnit` computes the same for
    whole sessions, faster.

    Args:
      units: Size n of the state.
      temperature: Temperature of the relaxed gate in training, above 0.
      leap_bias: Initial value of b; below 0 the gate starts by retaining clicks.
      inference_gate: The gate at inference: `hard` leaps where the leap
        probability exceeds 1/2, `expected` mixes by the probability, `sampled` is
        a sample as in training.
      gates: `both` is the paper's unit; `leap` omits the preference gate,
        g_p = 1; `none` retains every click, which leaves a GRU.
      seed: Fixes the gates' noise where none is given, or None.

    Call arguments:
      inputs: x_t, float [batch, d], or a tuple of x_t, the gates' logistic noise
        [batch, 1], and what is available, [batch, 1]: 0 for a click that must be
        skipped, else 1.
      states: `[h_{t-1}]`, [batch, n].
      constants: `[a]`, [batch, n]; zeros without.
      training: Whether to sample the gate.

    Returns:
      h_t, [batch, n], and `[h_t]`.

    Raises:
      ValueError: An argument is not allowed.

    Example:
    >>> rnn = keras.layers.RNN(LeapRecurrentCell(6), return_sequences=True)
    >>> rnn(tf.random.normal([2, 5, 4]), constants=[tf.zeros([2, 6])]).shape
    TensorShape([2, 5, 6])
    """

    def __init__(
        self,
        units: int,
        temperature: float = 1.0,
        leap_bias: float = 0.0,
        inference_gate: str = "hard",
        gates: str = "both",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if gates not in GATES:
            raise ValueError(f"`gates` must be one of {GATES}, received {gates!r}")
        self.units = checked_count("units", units)
        self.leap_bias = leap_bias
        self.gates = gates
        self.seed = seed
        self.gate = LeapGate(temperature, inference_gate)
        self.state_size = self.units
        self.output_size = self.units
        self._seeds = SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Add the weights of eq. 1-4."""
        if isinstance(input_shape[0], tuple | list | tf.TensorShape):
            input_shape = input_shape[0]  # of x_t, without noise and what is available
        d, n = input_shape[-1], self.units
        if d is None:
            raise ValueError(
                f"the last dimension of `inputs` must be known, received shape {input_shape}"
            )
        self.U = self.add_weight(name="U", shape=(n, 3 * n), initializer="orthogonal")
        self.c = self.add_weight(name="c", shape=(n,), initializer="zeros")
        if self.gates != "none":
            self.w_q = self.add_weight(name="w_q", shape=(n,), initializer=vector_initializer(n))
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

    def call(
        self,
        inputs: tf.Tensor | Sequence[tf.Tensor],
        states: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor] | None = None,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Take a step; see the class."""
        x, noise, available = inputs if isinstance(inputs, tuple | list) else (inputs, None, None)
        h, a = states[0], constants[0] if constants else None
        products = [tf.matmul(h, kernel) for kernel in gate_kernels(self.U)]
        gru_input = tf.split(tf.matmul(x, self.kernel) + self.bias, 3, axis=1)
        gru = gru_step(h, gru_input, products, self.c).h
        retained = tf.ones_like(h[:, :1]) if available is None else available
        if self.gates != "none":
            logit = self.leap_logit(x, h, a)
            if noise is None and self.gate.is_sampled(training):
                noise = self.sample_noise(tf.shape(logit))
            retained *= 1 - self.gate(logit, noise, training)
        h = (1 - retained) * h + retained * gru
        return h, [h]

    def leap_logit(self, x: tf.Tensor, h: tf.Tensor, a: tf.Tensor | None) -> tf.Tensor:
        """Compute the logit of the leap probability (eq. 1 and 2), [batch, 1].

        Args:
          x: x_t, [batch, d].
          h: h_{t-1}, [batch, n].
          a: The aggregate of the preferences before, [batch, n]; None for zeros.
        """
        if self.gates == "both":
            a = tf.zeros_like(h) if a is None else a
            x *= tf.sigmoid(
                tf.matmul(x, self.W_p, transpose_b=True) + tf.matmul(a, self.U_p, transpose_b=True)
            )
        return tf.matmul(h, self.w_q[:, None]) + tf.matmul(x, self.u_q[:, None]) + self.b

    def sample_noise(self, shape: tf.Tensor) -> tf.Tensor:
        """Sample logistic noise for gates from the cell's own seeds."""
        return logistic_noise(shape, self._seeds.next(), self.compute_dtype)

    def recurrent_weights(self) -> RecurrentWeights:
        """Return the weights that meet the state, as tensors."""
        w_q = None if self.gates == "none" else tf.convert_to_tensor(self.w_q)
        return RecurrentWeights(tf.convert_to_tensor(self.U), tf.convert_to_tensor(self.c), w_q)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal cell."""
        return {
            **super().get_config(),
            "units": self.units,
            "temperature": self.gate.temperature,
            "leap_bias": self.leap_bias,
            "inference_gate": self.gate.inference_gate,
            "gates": self.gates,
            "seed": self.seed,
        }


def vector_initializer(size: int) -> Any:
    """Return an initialiser uniform on +-1/sqrt(size), for vectors without a Glorot fan."""
    bound = size**-0.5
    return keras.initializers.RandomUniform(-bound, bound)
