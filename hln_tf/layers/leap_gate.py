"""The leap gate of the Leap Recurrent Unit (eq. 3)."""

import tensorflow as tf

from hln_tf.layers.choices import INFERENCE_GATES
from hln_tf.layers.relaxed_bernoulli import RelaxedBernoulli

# The leap logit of a pass that has retained nothing, with `retains_first`: its leap probability
# is 6e-6.
RETAIN_LOGIT = -12.0
# A pass has begun when it has retained this much of its clicks.
BEGUN = 0.5


class LeapGate:
    """The leap gate g_{l,t}: 1 where the unit leaps over a click, 0 where it is retained.

    In training it is a sample of `RelaxedBernoulli`, used straight-through.

    Args:
      temperature: Temperature of the relaxation, above 0.
      inference_gate: The gate at inference: `hard` is 1 if the leap probability
        exceeds 1/2, `expected` is the probability, `sampled` is as in training.
      retains_first: Whether a pass that has retained nothing yet retains the click,
        whatever its logit: the gate is a constant there, without noise or gradient.

    Raises:
      ValueError: A value is not allowed.
    """

    def __init__(
        self, temperature: float = 1.0, inference_gate: str = "hard", retains_first: bool = False
    ) -> None:
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0, received {temperature}")
        if inference_gate not in INFERENCE_GATES:
            raise ValueError(
                f"`inference_gate` must be one of {INFERENCE_GATES}, received {inference_gate!r}"
            )
        self.temperature = temperature
        self.inference_gate = inference_gate
        self.retains_first = retains_first

    def is_sampled(self, training: bool | None) -> bool:
        """Check whether the gate depends on noise."""
        return bool(training) or self.inference_gate == "sampled"

    def __call__(
        self, logit: tf.Tensor, noise: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        """Compute the gate.

        Args:
          logit: float [...], whose sigmoid is the leap probability.
          noise: float [...], logistic; ignored where the gate is not sampled.
          training: Whether to sample.
        """
        if self.is_sampled(training):
            return RelaxedBernoulli(self.temperature, logits=logit).straight_through(noise)
        if self.inference_gate == "expected":
            return tf.sigmoid(logit)
        return tf.cast(logit > 0, logit.dtype)

    def at_begin(
        self, logit: tf.Tensor, noise: tf.Tensor | None, retained: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Replace logit and noise where nothing has been retained, with `retains_first`.

        Args:
          logit: float [...].
          noise: float [...], logistic, or None.
          retained: float [...], the sum of what the pass has retained before.
        """
        if not self.retains_first:
            return logit, noise
        assert retained is not None
        has_begun = retained >= BEGUN
        noise = None if noise is None else tf.where(has_begun, noise, 0)
        return tf.where(has_begun, logit, RETAIN_LOGIT), noise

    def where_begun(self, values: tf.Tensor, retained: tf.Tensor | None) -> tf.Tensor:
        """Zero values where `at_begin` replaces the logit."""
        if not self.retains_first:
            return values
        assert retained is not None
        return tf.where(retained >= BEGUN, values, 0)

    def hard(self, logit: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return the sampled gate's value without its gradient."""
        return RelaxedBernoulli(self.temperature, logits=logit).hard(noise)

    def slope(
        self, logit: tf.Tensor, noise: tf.Tensor, retained: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute the derivative of the sampled gate by its logit; see `at_begin`."""
        with tf.GradientTape() as tape:
            tape.watch(logit)
            gate = self(*self.at_begin(logit, noise, retained), training=True)
        return tape.gradient(gate, logit)
