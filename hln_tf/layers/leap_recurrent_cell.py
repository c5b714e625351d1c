"""One step of the Leap Recurrent Unit (eq. 1-4)."""

import types
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.checked_call import EMBEDDINGS, CheckedCall, check_floats, check_shape
from hln_tf.layers.choices import GATES, LEAP_GATES, checked_count
from hln_tf.layers.keras_2 import require_keras_2_caller
from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.leap_logit import LeapInput
from hln_tf.layers.recurrent_ops import RecurrentWeights, gate_kernels, gru_step
from hln_tf.layers.relaxed_bernoulli import logistic_noise
from hln_tf.layers.seeds import SeedGenerator

# theta is this times its weight, so that an optimiser that moves every weight by about its rate
# can move the threshold by several units in an epoch.
THRESHOLD_SCALE = 10.0


@keras.utils.register_keras_serializable("hln_tf")
class LeapRecurrentCell(CheckedCall, keras.layers.Layer):
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

    With `leap_gate="predictive"` the leap logit asks instead whether the
    preference would have predicted the click: with W [d, n], which takes a state
    into the space of item embeddings,

        logit = theta - alpha x_t . (W h_{t-1})

    and a pass that has retained nothing retains the click, without noise or
    gradient. Eq. 1 and 2 and their weights are absent; `combined` adds them, less b.

    It is a cell for `keras.layers.RNN` of `import tf_keras as keras`; that of Keras
    3, which is `import keras`, is refused. `LeapRecurrentUnit` computes the same for
    whole sessions, faster, and goes into a SavedModel with constants too, which
    Keras cannot do with its RNN over a custom cell. A program that loads a Keras
    model with this cell imports it, or any other name of `hln_tf.layers`, first:
    `from hln_tf.layers import LeapRecurrentCell`.

    Args:
      units: Size n of the state.
      temperature: Temperature of the relaxed gate in training, above 0.
      leap_bias: Initial value of b; below 0 the gate starts by retaining clicks.
      inference_gate: The gate at inference: `hard` leaps where the leap
        probability exceeds 1/2, `expected` mixes by the probability, `sampled` is
        a sample as in training.
      gates: `both` is the paper's unit; `leap` omits the preference gate,
        g_p = 1; `none` retains every click, which leaves a GRU.
      leap_gate: The leap logit: `additive` is eq. 2; `predictive` and `combined`
        see above.
      leap_threshold: Initial value of theta.
      leap_slope: Initial value of alpha.
      normalize: Whether the predictive gate's score is divided by the length of
        W h_{t-1}, at least 0.1.
      seed: Fixes the gates' noise where none is given, or None.

    Call arguments:
      inputs: x_t, float [batch, d], or a tuple of x_t, the gates' logistic noise
        [batch, 1], and what is available, [batch, 1]: 0 for a click that must be
        skipped, else 1.
      states: `[h_{t-1}]`, [batch, n]; of a predictive gate also the number of
        clicks retained before, [batch, 1].
      constants: `[a]`, [batch, n]; zeros without.
      training: Whether to sample the gate.

    Returns:
      h_t, [batch, n], and the states after the step.

    Raises:
      TypeError: `inputs` holds no floats, or the caller is Keras 3's.
      ValueError: An argument is not allowed, or has another shape.

    Example:
    >>> import tf_keras as keras
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
        leap_gate: str = "additive",
        leap_threshold: float = 2.0,
        leap_slope: float = 1.0,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if gates not in GATES:
            raise ValueError(f"`gates` must be one of {GATES}, received {gates!r}")
        if leap_gate not in LEAP_GATES:
            raise ValueError(f"`leap_gate` must be one of {LEAP_GATES}, received {leap_gate!r}")
        if gates == "leap" and leap_gate == "predictive":
            raise ValueError(
                "`gates` is 'leap', which omits the preference gate, but the predictive leap gate "
                "has none: pass gates='both'"
            )
        self.units = checked_count("units", units)
        self.leap_bias = leap_bias
        self.gates = gates
        self.leap_gate = leap_gate
        self.leap_threshold = leap_threshold
        self.leap_slope = leap_slope
        self.normalize = normalize
        self.seed = seed
        # The gates as they are: no leap gate has no logit, of either kind.
        self.is_gated = gates != "none"
        self.is_additive = self.is_gated and leap_gate != "predictive"
        self.is_predictive = self.is_gated and leap_gate != "additive"
        self.has_preference_gate = self.is_additive and gates == "both"
        self.gate = LeapGate(temperature, inference_gate, retains_first=self.is_predictive)
        self.output_size = self.units
        self._seeds = SeedGenerator(seed)
        self._tied: types.SimpleNamespace | None = None

    @property
    def state_size(self) -> int | list[int]:
        """Sizes of the states, which `keras.layers.RNN` reads when it is made."""
        require_keras_2_caller(type(self).__name__)
        return [self.units, 1] if self.is_predictive else self.units

    def tie(self, W: tf.Variable, scale: tf.Variable | None = None) -> None:
        """Let the predictive gate score clicks by weights of a model, instead of its own.

        Args:
          W: float [d, n], from states to the space of item embeddings (eq. 6).
          scale: float [], by which all scores are multiplied, or None.
        """
        # In a container that Keras does not track: the weights are saved as the model's.
        self._tied = types.SimpleNamespace(weights=(W, scale))

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
        if self.is_additive:
            self.w_q = self.add_weight(name="w_q", shape=(n,), initializer=vector_initializer(n))
        self.kernel = self.add_weight(name="kernel", shape=(d, 3 * n))
        self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")
        if self.has_preference_gate:
            self.W_p = self.add_weight(name="W_p", shape=(d, d))
            self.U_p = self.add_weight(name="U_p", shape=(d, n))
        if self.is_additive:
            self.u_q = self.add_weight(name="u_q", shape=(d,), initializer=vector_initializer(d))
        if self.is_predictive:
            self.theta = self._add_scalar("theta", self.leap_threshold / THRESHOLD_SCALE)
            self.alpha = self._add_scalar("alpha", self.leap_slope)
            if self._tied is None:
                self.W = self.add_weight(name="W", shape=(d, n))
        elif self.is_additive:
            self.b = self._add_scalar("b", self.leap_bias)
        super().build(input_shape)

    def check_call(
        self, inputs: Any, states: Any = None, constants: Any = None, **others: Any
    ) -> None:
        """Check the arguments of `call`."""
        x, *of_click = inputs if isinstance(inputs, tuple | list) else [inputs]
        check_floats("inputs", x, EMBEDDINGS)
        check_shape("inputs", x, ["batch", "d"])
        for name, value in zip(("noise", "available"), of_click, strict=False):
            check_shape(name, value, ["batch", 1])
        for name, values in (("states", states), ("constants", constants)):
            for value in tf.nest.flatten(values)[:1]:
                check_shape(name, value, ["batch", self.units])

    def projection(self) -> tuple[tf.Variable, tf.Variable | None]:
        """Return a predictive gate's W and scale of scores, its own or those of `tie`."""
        return (self.W, None) if self._tied is None else self._tied.weights

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
        if self.is_gated:
            logit = self.leap_logit(x, h, a)
            if noise is None and self.gate.is_sampled(training):
                noise = self.sample_noise(tf.shape(logit))
            logit, noise = self.gate.at_begin(logit, noise, *states[1:])
            retained *= 1 - self.gate(logit, noise, training)
        h = (1 - retained) * h + retained * gru
        return h, [h, *(before + tf.stop_gradient(retained) for before in states[1:])]

    def leap_logit(self, x: tf.Tensor, h: tf.Tensor, a: tf.Tensor | None) -> tf.Tensor:
        """Compute the logit of the leap probability, [batch, 1], of a pass that has begun.

        Args:
          x: x_t, [batch, d].
          h: h_{t-1}, [batch, n].
          a: The aggregate of the preferences before, [batch, n]; None for zeros.
        """
        W_p_x = U_p_a = None
        if self.has_preference_gate:
            W_p_x = tf.matmul(x, self.W_p, transpose_b=True)
            a = tf.zeros_like(h) if a is None else a
            U_p_a = tf.matmul(a, self.U_p, transpose_b=True)
        return self.leap_input(self.leap_bias_of(x, W_p_x, U_p_a), self.leap_key(x)).logit(h)

    def leap_bias_of(
        self, x: tf.Tensor, W_p_x: tf.Tensor | None, U_p_a: tf.Tensor | None
    ) -> tf.Tensor:
        """Compute the part of leap logits without the state, [..., 1]: eq. 1 and 2, theta or b.

        Args:
          x: Item embeddings, [..., d].
          W_p_x: W_p x, [..., d]; None without a preference gate.
          U_p_a: U_p a, to be broadcast to W_p_x; None without a preference gate.
        """
        if self.is_predictive:
            bias = THRESHOLD_SCALE * self.theta * tf.ones_like(x[..., :1])
        else:
            bias = self.b
        if not self.is_additive:
            return bias
        gated = x if W_p_x is None else x * tf.sigmoid(W_p_x + U_p_a)
        return tf.reduce_sum(gated * self.u_q, axis=-1, keepdims=True) + bias

    def leap_key(self, x: tf.Tensor) -> tf.Tensor | None:
        """Compute -alpha W^T x, whose product with the state a predictive gate adds.

        Args:
          x: Item embeddings, [..., d].

        Returns:
          float [..., n]; None without a predictive gate.
        """
        if not self.is_predictive:
            return None
        W, scale = self.projection()
        alpha = self.alpha if scale is None else self.alpha * scale
        return tf.tensordot(x, -alpha * W, 1)

    def leap_input(self, bias: tf.Tensor, key: tf.Tensor | None) -> LeapInput:
        """Join results of `leap_bias_of` and `leap_key` with the weights that meet the state."""
        w_q = tf.convert_to_tensor(self.w_q) if self.is_additive else None
        W = None
        if self.is_predictive and self.normalize:
            W = tf.convert_to_tensor(self.projection()[0])
        return LeapInput(bias, w_q, key, W)

    def sample_noise(self, shape: tf.Tensor) -> tf.Tensor:
        """Sample logistic noise for gates from the cell's own seeds."""
        return logistic_noise(shape, self._seeds.next(), self.compute_dtype)

    def recurrent_weights(self) -> RecurrentWeights:
        """Return the GRU's weights that meet the state, as tensors."""
        return RecurrentWeights(tf.convert_to_tensor(self.U), tf.convert_to_tensor(self.c))

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
            "leap_gate": self.leap_gate,
            "leap_threshold": self.leap_threshold,
            "leap_slope": self.leap_slope,
            "normalize": self.normalize,
        }

    def _add_scalar(self, name: str, value: float) -> tf.Variable:
        return self.add_weight(name=name, shape=(), initializer=keras.initializers.Constant(value))


def vector_initializer(size: int) -> Any:
    """Return an initialiser uniform on +-1/sqrt(size), for vectors without a Glorot fan."""
    bound = size**-0.5
    return keras.initializers.RandomUniform(-bound, bound)
