"""The leap gate of the Leap Recurrent Unit (eq. 3)."""

import tensorflow as tf

from hln_tf.layers.choices import INFERENCE_GATES
from hln_tf.layers.relaxed_bernoulli import RelaxedBernoulli


class LeapGate:
    """The leap gate g_{l,t}: 1 where the unit leaps over a click, 0 where it is retained.

    In training it is a sample of `RelaxedBernoulli`, used straight-through.

    Args:
      temperature: Temperature of the relaxation, above 0.
      inference_gate: The gate at inference: `hard` is 1 if the leap probability
        exceeds 1/2, `expected` is the probability, `sampled` is as in training.

    Raises:
      ValueError: A value is not allowed.
    """

    def __init__(self, temperature: float = 1.0, inference_gate: str = "hard") -> None:
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0, received {temperature}")
        if inference_gate not in INFERENCE_GATES:
            raise ValueError(
                f"`inference_gate` must be one of {INFERENCE_GATES}, received {inference_gate!r}"
            )
        self.temperature = temperature
        self.inference_gate = inference_gate

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

    def hard(self, logit: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return the sampled gate's value without its gradient."""
        return RelaxedBernoulli(self.temperature, logits=logit).hard(noise)

    def slope(self, logit: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Compute the derivative of the sampled gate by its logit."""
        with tf.GradientTape() as tape:
            tape.watch(logit)
            gate = self(logit, noise, training=True)
        return tape.gradient(gate, logit)
