"""A relaxed Bernoulli distribution with a straight-through estimator."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

# The least uniform number that has a logit.
LEAST = float(np.finfo(np.float32).tiny)


class RelaxedBernoulli(tfp.distributions.RelaxedBernoulli):
    """A relaxed Bernoulli variable with a straight-through estimator and stable gradients.

    A relaxed Bernoulli variable is `sigmoid((logit + noise) / temperature)` with
    logistic noise; a two-class Gumbel-softmax is the same distribution (Maddison
    et al., ICLR 2017; Jang et al., ICLR 2017). The noise may be sampled once for
    all steps of a recurrence and passed in, which leaves random numbers out of
    the loop and makes them a function of the seed.

    Unlike its parent's, a sample has finite gradients at saturated logits: the
    parent's sigmoid evaluates `exp` where it has overflowed, and zero times
    infinity is not a number.

    Args:
      temperature: Temperature of the relaxation, above 0.
      logits: float [...], log-odds of 1.

    Example:
    >>> gate = RelaxedBernoulli(1.0, logits=tf.constant([-30.0, 30.0]))
    >>> gate.straight_through(seed=[1, 2]).numpy()
    array([0., 1.], dtype=float32)
    """

    def straight_through(self, noise: tf.Tensor | None = None, seed: Any = None) -> tf.Tensor:
        """Sample values of exactly 0 or 1 whose gradient is that of the relaxed sample.

        Args:
          noise: float [...], standard logistic noise, see `logistic_noise`.
          seed: int [2], to sample the noise from if it is not given.

        Returns:
          float [...].
        """
        if noise is None:
            noise = logistic_noise(tf.shape(self.logits), seed, self.dtype)
        relaxed = self.relaxed(noise)
        return self.hard(noise) + (relaxed - tf.stop_gradient(relaxed))

    def hard(self, noise: tf.Tensor) -> tf.Tensor:
        """Return the value of exactly 0 or 1 for given logistic noise, without a gradient."""
        return tf.cast(self.logits + noise > 0, self.dtype)

    def relaxed(self, noise: tf.Tensor) -> tf.Tensor:
        """Compute the relaxed value in [0, 1] for given logistic noise."""
        return tf.sigmoid((self.logits + noise) / self.temperature)

    def _sample_n(self, n: tf.Tensor, seed: Any = None, **kwargs: Any) -> tf.Tensor:
        logits = self.logits_parameter() / self.temperature
        logistic = tfp.distributions.Logistic(logits, 1 / self.temperature)
        return tf.sigmoid(logistic.sample(n, seed=seed, **kwargs))


def logistic_noise(shape: tf.Tensor, seed: Any, dtype: Any = tf.float32) -> tf.Tensor:
    """Sample standard logistic noise as a function of the seed alone.

    Args:
      shape: int [rank].
      seed: int [2].
      dtype: Type of the result.
    """
    zero = tf.zeros([], dtype)
    return tfp.distributions.Logistic(zero, zero + 1).sample(shape, seed=seed)


def to_logistic(uniform: tf.Tensor) -> tf.Tensor:
    """Turn uniform numbers in (0, 1) into standard logistic noise, by its quantile function.

    The uniform numbers of a seed, from `LEAST` on, become the noise of `logistic_noise` for
    that seed.

    Args:
      uniform: float32 [...].
    """
    return tfp.distributions.Logistic(0.0, 1.0).quantile(uniform)
