"""The leap logit as a function of the hidden state (eq. 2 and the predictive gate)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from hln_tf.layers.choices import SHORTEST


class LeapInput(NamedTuple):
    """The parts of all steps' leap logits without the hidden state; what is missing is None.

    The logit of step t is bias_t + w_q . h + key_t . h / max(|W h|, SHORTEST) with h
    the state h_{t-1}. Eq. 2 has a w_q, the predictive gate a key, which is -alpha
    times the click's embedding in the space of states; W normalises its score.

    Attributes:
      bias: float [time, batch, 1], the part without h_{t-1}.
      w_q: float [n].
      key: float [time, batch, n].
      W: float [d, n]; None where the score is not divided by the length.
    """

    bias: tf.Tensor
    w_q: tf.Tensor | None = None
    key: tf.Tensor | None = None
    W: tf.Tensor | None = None

    def at(self, t: Any) -> "LeapInput":
        """Return the parts of a step, or of a slice of steps."""
        return self._replace(bias=self.bias[t], key=None if self.key is None else self.key[t])

    def kernels(self) -> list[tf.Tensor]:
        """Return the matrices that meet the hidden state, [n, m] each, of all steps."""
        kernels = [] if self.w_q is None else [self.w_q[:, None]]
        return kernels if self.W is None else [*kernels, tf.transpose(self.W)]

    def logit(self, h: tf.Tensor, products: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """Compute leap logits.

        Args:
          h: h_{t-1}, float [..., n], of the same steps.
          products: h_{t-1} times each of `kernels`; computed where they are None.

        Returns:
          float [..., 1].
        """
        if products is None:
            products = [tf.tensordot(h, kernel, 1) for kernel in self.kernels()]
        logit = self.bias
        if self.w_q is not None:
            logit += products[0]
        if self.key is not None:
            score = tf.reduce_sum(h * self.key, axis=-1, keepdims=True)
            if self.W is not None:
                query = products[-1]
                square = tf.reduce_sum(query * query, axis=-1, keepdims=True)
                score *= tf.math.rsqrt(tf.maximum(square, SHORTEST**2))
            logit += score
        return logit

    def slope(self, h: tf.Tensor) -> tf.Tensor:
        """Compute the derivatives of logits by their h_{t-1}, float [..., n] or [n]."""
        if self.W is None:
            parts = [part for part in (self.key, self.w_q) if part is not None]
            return parts[0] if len(parts) == 1 else parts[0] + parts[1]
        with tf.GradientTape() as tape:
            tape.watch(h)
            logit = self.logit(h)
        return tape.gradient(logit, h)

    def gradients(self, h: tf.Tensor, d_logit: tf.Tensor) -> "LeapInput":
        """Compute the gradients by the parts from those by the logits.

        Args:
          h: h_{t-1}, float [time, batch, n].
          d_logit: float [time, batch, 1].
        """
        given = [part for part in self if part is not None]
        with tf.GradientTape() as tape:
            tape.watch(given)
            logit = self.logit(h)
        found = iter(tape.gradient(logit, given, output_gradients=d_logit))
        return LeapInput(*(None if part is None else next(found) for part in self))
