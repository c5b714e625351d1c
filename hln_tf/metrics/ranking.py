"""Recall@k and MRR@k over the full catalogue."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

KS = (5, 10, 20)


def target_ranks(scores: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The rank of each row's target among all items, from 1.

    An item that ties with the target counts as ranked before it, and so does
    every item where a score is not a number: a constant or broken scorer gets
    the last rank. The target's score is taken from the matrix itself; computed
    apart it would differ in the last bits and change ranks.

    Args:
      scores: float [batch, items].
      target: int [batch], index of the target.

    Returns:
      int32 [batch].
    """
    of_target = tf.gather(scores, target[:, None], batch_dims=1)
    lower = tf.reduce_sum(tf.cast(scores < of_target, tf.int32), axis=1)
    return tf.shape(scores)[1] - lower


class FullCatalogueRanking(tfrs.metrics.Factorized):
    """Recall@k and MRR@k with every item of the catalogue as a candidate.

    `tfrs.metrics.FactorizedTopK` compares the target's own dot product with
    matrix products, which differ at float precision, and has no MRR.

    Args:
      candidates: Returns the item table, float [items, d]; called in each
        update, so that the metric follows training. None where scores are
        given to `update_from_scores`.
      ks: The cut-offs.
      name: Name of the layer.
    """

    def __init__(
        self,
        candidates: Callable[[], tf.Tensor] | None = None,
        ks: Sequence[int] = KS,
        name: str = "ranking",
    ) -> None:
        super().__init__(name=name)
        self._candidates = candidates
        self.ks = tuple(ks)
        self._recall = [keras.metrics.Mean(name=f"recall@{k}") for k in self.ks]
        self._mrr = [keras.metrics.Mean(name=f"mrr@{k}") for k in self.ks]

    def update_state(
        self,
        query_embeddings: tf.Tensor,
        true_candidate_embeddings: tf.Tensor | None = None,
        true_candidate_ids: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Adds a batch of queries.

        Args:
          query_embeddings: float [batch, d].
          true_candidate_embeddings: Ignored, see `target_ranks`.
          true_candidate_ids: int [batch], index of each target.
        """
        if self._candidates is None:
            raise ValueError("`candidates` is None: give scores to `update_from_scores`")
        scores = tf.matmul(query_embeddings, self._candidates(), transpose_b=True)
        return self.update_from_scores(scores, true_candidate_ids)

    def update_from_scores(self, scores: tf.Tensor, target: tf.Tensor) -> tf.Operation:
        """Adds a batch of scores, float [batch, items], and targets, int [batch]."""
        rank = tf.cast(target_ranks(scores, target), tf.float32)
        for k, recall, mrr in zip(self.ks, self._recall, self._mrr, strict=True):
            hit = tf.cast(rank <= k, tf.float32)
            recall.update_state(hit)
            mrr.update_state(hit / rank)
        return tf.no_op()

    def results(self) -> dict[str, float]:
        """The metrics by name, such as `mrr@20`, as fractions of 1."""
        return {metric.name: float(metric.result()) for metric in self._recall + self._mrr}

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric, candidates aside."""
        return {"ks": self.ks, "name": self.name}
