"""Sampling of negatives by popularity."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.choices import checked_count
from hln_tf.layers.noise import Seed, uniform_shared

# Separates the sampling of negatives from the model's own noise, which has the same seed.
_SALT = 0x4E454753


class SampledScores(NamedTuple):
    """Scores of the target and of the negatives of each example.

    Attributes:
      of_target: float [batch, 1].
      of_negatives: float [batch, N].
      is_hit: bool [batch, N], whether the negative is the example's target.
    """

    of_target: tf.Tensor
    of_negatives: tf.Tensor
    is_hit: tf.Tensor


class NegativeSampler(keras.layers.Layer):
    """A sampler of negatives for each step, which the batch shares.

    Item i is sampled with q_i proportional to (1 + clicks_i) ** power: between
    uniform (power 0) and popularity (power 1), and never 0. The clicks are those that
    `fit_counts` or `fit` of the model has counted, see `RetrievalLoss`. Item indices carry
    no frequency, so a log-uniform sampler would not do. Sampling is stratified:
    the k-th negative lies in the k-th of N equal parts of the cumulative
    distribution, which leaves expected counts as they are, N q_i, and reduces
    their variance; with power 0 and N the size of the catalogue, every item is
    sampled once.

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity.
      **kwargs: Of a Keras layer.

    Raises:
      ValueError: An argument is not allowed.
    """

    def __init__(
        self, num_negatives: int = 1024, sampling_power: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= sampling_power <= 1:
            raise ValueError(f"`sampling_power` must be from 0 to 1, received {sampling_power}")
        self.num_negatives = checked_count("num_negatives", num_negatives)
        self.sampling_power = sampling_power

    def prepare(self, num_items: int) -> None:
        """Add the cumulative distribution, uniform until `fit_counts` is called."""
        # float64: in float32 the steps of a million items would be a few units in the last place.
        self.cumulative = tf.Variable(
            tf.range(1, num_items + 1, dtype=tf.float64) / num_items,
            trainable=False,
            name="cumulative",
        )

    def fit_counts(self, item_counts: np.ndarray) -> None:
        """Take the clicks of each item, int [items]; before that, sampling is uniform."""
        cumulative = np.cumsum((1.0 + item_counts) ** self.sampling_power)
        self.cumulative.assign(cumulative / cumulative[-1])

    def sample(self, seed: Seed) -> tf.Tensor:
        """Sample the rows of negatives for a seed, in ascending order, int32 [N]."""
        offsets = uniform_shared([self.num_negatives], seed, _SALT, tf.float64)
        points = (tf.range(self.num_negatives, dtype=tf.float64) + offsets) / self.num_negatives
        rows = tf.searchsorted(self.cumulative, points, side="right")
        return tf.minimum(rows, tf.size(self.cumulative) - 1)  # the last point may round to 1

    def log_expected_count(self, rows: tf.Tensor) -> tf.Tensor:
        """Compute log(N q_i) of items by row, float32 of the same shape."""
        below = tf.gather(self.cumulative, tf.maximum(rows - 1, 0))
        below = tf.where(rows > 0, below, 0)
        expected = self.num_negatives * (tf.gather(self.cumulative, rows) - below)
        return tf.cast(tf.math.log(expected), tf.float32)

    def call(self, seed: Seed | None) -> tf.Tensor:
        """Sample the negatives of a step, int32 [N]; without a seed, those of seed 0."""
        return self.sample(tf.zeros([2], tf.int32) if seed is None else seed)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal sampler, item counts aside."""
        own = {"num_negatives": self.num_negatives, "sampling_power": self.sampling_power}
        return {**super().get_config(), **own}


def sampled_scores(
    query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, rows: tf.Tensor
) -> SampledScores:
    """Score queries with their targets and with negatives, int32 [N], only.

    Only these rows of the candidates are read, so the gradient of a candidate
    table that is a variable is sparse.
    """
    target = tf.cast(target, tf.int32)
    return SampledScores(
        tf.reduce_sum(query * tf.gather(candidates, target), axis=1, keepdims=True),
        tf.matmul(query, tf.gather(candidates, rows), transpose_b=True),
        rows[None] == target[:, None],
    )
