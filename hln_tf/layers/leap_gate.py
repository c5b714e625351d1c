"""The leap gate: a relaxed Bernoulli variable used straight-through."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp


class LeapGate(tfp.distributions.RelaxedBernoulli):
    """The leap gate g_{l,t} of eq. 3 and its Gumbel-softmax surrogate.

    A relaxed Bernoulli variable is `sigmoid((logit + noise) / temperature)`
    with logistic noise; a two-class Gumbel-softmax is the same thing. The noise
    can be drawn in one go for all steps of a recurrence and handed in, which
    keeps random numbers out of the loop and makes them a function of the seed.

    Unlike its parent's, these samples have finite gradients at saturated
    logits: the parent's sigmoid evaluates `exp` where it has overflowed, and
    zero times infinity is not a number.

    Args:
      temperature: Temperature of the relaxation, above 0.
      logits: float [...], log-odds of leaping.
    """

    def straight_through(self, noise: tf.Tensor) -> tf.Tensor:
        """A gate of exactly 0 or 1 whose gradient is the relaxed sample's.

        Args:
          noise: float [...], standard logistic noise, see `logistic_noise`.

        Returns:
          float [...], 1 where the step is leapt.
        """
        relaxed = self.relaxed(noise)
        return self.hard(noise) + (relaxed - tf.stop_gradient(relaxed))

    def hard(self, noise: tf.Tensor) -> tf.Tensor:
        """The gate of exactly 0 or 1 alone, for given logistic noise."""
        return tf.cast(self.logits + noise > 0, self.dtype)

    def relaxed(self, noise: tf.Tensor) -> tf.Tensor:
        """The relaxed sample in [0, 1] for given logistic noise."""
        return tf.sigmoid((self.logits + noise) / self.temperature)

    def _sample_n(self, n: tf.Tensor, seed: Any = None, **kwargs: Any) -> tf.Tensor:
        logistic = self._transformed_logistic().distribution
        return tf.sigmoid(logistic.sample(n, seed=seed, **kwargs))


def logistic_noise(shape: tf.Tensor, seed: tf.Tensor, dtype: Any = tf.float32) -> tf.Tensor:
    """Standard logistic noise as a function of the seed alone.

    Args:
      shape: int [rank].
      seed: int32 [2].
      dtype: Type of the result.
    """
    zero = tf.zeros([], dtype)
    return tfp.distributions.Logistic(zero, zero + 1).sample(shape, seed=seed)
