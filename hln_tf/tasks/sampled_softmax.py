"""Retrieval with a softmax over the target and a sample of the catalogue."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hln_tf.layers.sharding import Seed, step_seed
from hln_tf.tasks.full_softmax import FullSoftmaxRetrieval

# Sets the draw of negatives apart from the model's own noise, which has the same seed.
_SALT = 0x4E454753


class SampledScores(NamedTuple):
    """Scores of the target and of the negatives of each row.

    Attributes:
      of_target: float [batch, 1].
      of_negatives: float [batch, N].
      is_hit: bool [batch, N], whether the negative is the row's target.
    """

    of_target: tf.Tensor
    of_negatives: tf.Tensor
    is_hit: tf.Tensor


def sampled_scores(
    query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, negatives: tf.Tensor
) -> SampledScores:
    """Scores queries [batch, d] with targets, int [batch], and negatives, int32 [N], only."""
    target = tf.cast(target, tf.int32)
    return SampledScores(
        tf.reduce_sum(query * tf.gather(candidates, target), axis=1, keepdims=True),
        tf.matmul(query, tf.gather(candidates, negatives), transpose_b=True),
        negatives[None] == target[:, None],
    )


class SampledSoftmaxRetrieval(FullSoftmaxRetrieval):
    """A retrieval task whose softmax runs over the target and drawn negatives.

    The N negatives of a step are shared by its batch. Item i is drawn with
    q_i proportional to (1 + clicks_i) ** power: between uniform (power 0) and
    popularity (power 1), and never 0. Item numbers carry no frequency, so a
    log-uniform sampler would not do. The draws are stratified: the k-th lies in
    the k-th of N equal parts of the cumulative distribution, which leaves
    expected counts as they are, N q_i, and makes them vary less; with power 0
    and N the size of the catalogue, every item is drawn once.

    A negative's score is lowered by log(N q_i), the log of its expected count
    (log-q correction), and a negative that is the row's target is left out. The
    target itself is in every sample and needs no correction. The sum in the
    softmax's denominator then has the full softmax's sum as its expectation
    (Rawat et al., "Sampled Softmax with Random Fourier Features", NeurIPS 2019,
    section 2), and the loss tends to the full softmax's as N grows.

    Only the rows of the targets and negatives are read, and the gradient of a
    candidate table that is a variable is sparse.

    Args:
      num_items: Size of the catalogue.
      num_negatives: N, negatives drawn in a step.
      power: How much popularity counts.
      metrics: `tfrs.metrics.Factorized` metrics, updated where asked for.
      name: Name of the layer.
    """

    def __init__(
        self,
        num_items: int,
        num_negatives: int,
        power: float,
        metrics: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(metrics=metrics, name=name)
        self.num_items = num_items
        self.num_negatives = num_negatives
        self.power = power
        # float64: in float32 the steps of a million items would be a few units in the last place.
        self.cumulative = tf.Variable(
            tf.range(1, num_items + 1, dtype=tf.float64) / num_items,
            trainable=False,
            name="cumulative",
        )

    def fit_counts(self, item_counts: np.ndarray) -> None:
        """Takes the clicks of each item, int [items]; before that, sampling is uniform."""
        cumulative = np.cumsum((1.0 + item_counts) ** self.power)
        self.cumulative.assign(cumulative / cumulative[-1])

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """Indices of the negatives of a seed int32 [2], in ascending order, int32 [N]."""
        seed = tf.random.experimental.stateless_fold_in(seed, _SALT)
        offsets = tf.random.stateless_uniform([self.num_negatives], seed, dtype=tf.float64)
        points = (tf.range(self.num_negatives, dtype=tf.float64) + offsets) / self.num_negatives
        drawn = tf.searchsorted(self.cumulative, points, side="right")
        return tf.minimum(drawn, self.num_items - 1)  # the last point may round to 1

    def log_expected_count(self, items: tf.Tensor) -> tf.Tensor:
        """log(N q_i) of items by index, float32 of the same shape."""
        below = tf.gather(self.cumulative, tf.maximum(items - 1, 0))
        below = tf.where(items > 0, below, 0)
        expected = self.num_negatives * (tf.gather(self.cumulative, items) - below)
        return tf.cast(tf.math.log(expected), tf.float32)

    def losses(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        target: tf.Tensor,
        seed: Seed | None = None,
    ) -> tf.Tensor:
        """See `FullSoftmaxRetrieval`; without a seed, the loss of the full softmax."""
        if seed is None:
            return super().losses(query_embeddings, candidate_embeddings, target)
        negatives = self.draw(step_seed(seed))
        scores = sampled_scores(query_embeddings, candidate_embeddings, target, negatives)
        of_negatives = scores.of_negatives - self.log_expected_count(negatives)
        of_negatives = tf.where(scores.is_hit, of_negatives.dtype.min, of_negatives)
        logits = tf.concat([scores.of_target, of_negatives], axis=1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros_like(target), logits)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal task, metrics and learnt counts aside."""
        return {
            "num_items": self.num_items,
            "num_negatives": self.num_negatives,
            "power": self.power,
            "name": self.name,
        }
