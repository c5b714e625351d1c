"""Recall@k and MRR@k over the full catalogue."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from hln_tf.layers.catalogue_scores import catalogue_ranks, target_ranks
from hln_tf.layers.choices import SCORE_MEGABYTES

KS = (5, 10, 20)


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
      megabytes: What the scores of queries with candidates may take at a time;
        a larger catalogue is ranked in chunks.
    """

    def __init__(
        self,
        candidates: Callable[[], tf.Tensor] | None = None,
        ks: Sequence[int] = KS,
        name: str = "ranking",
        megabytes: int = SCORE_MEGABYTES,
    ) -> None:
        super().__init__(name=name)
        self.megabytes = megabytes
        self._candidates = candidates
        self.ks = tuple(ks)
        self._sums = _Sums(self.ks)

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
        return self.update_from_ranks(self.ranks(query_embeddings, true_candidate_ids))

    def ranks(self, query_embeddings: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """The ranks of targets among all candidates, see `catalogue_ranks`."""
        if self._candidates is None:
            raise ValueError("`candidates` is None: give scores to `update_from_scores`")
        return catalogue_ranks(query_embeddings, self._candidates(), target, self.megabytes)

    def update_from_scores(self, scores: tf.Tensor, target: tf.Tensor) -> tf.Operation:
        """Adds a batch of scores, float [batch, items], and targets, int [batch]."""
        return self.update_from_ranks(target_ranks(scores, target))

    def update_from_ranks(self, ranks: tf.Tensor) -> tf.Operation:
        """Adds the ranks of a batch's targets, int32 [batch], from 1."""
        rank = tf.cast(ranks, tf.float32)
        hits = [tf.cast(rank <= k, tf.float32) for k in self.ks]
        self._sums.hits.assign_add([tf.reduce_sum(hit) for hit in hits])
        self._sums.reciprocals.assign_add([tf.reduce_sum(hit / rank) for hit in hits])
        self._sums.count.assign_add(tf.cast(tf.size(ranks), tf.float32))
        return tf.no_op()

    def reset_states(self) -> None:
        """Forgets all batches."""
        for total in (self._sums.hits, self._sums.reciprocals, self._sums.count):
            total.assign(tf.zeros_like(total))

    def results(self) -> dict[str, float]:
        """The metrics by name, such as `mrr@20`, as fractions of 1."""
        totals = {"recall": self._sums.hits.numpy(), "mrr": self._sums.reciprocals.numpy()}
        count = max(self._sums.count.numpy(), 1)
        return {
            f"{name}@{k}": float(value / count)
            for name, values in totals.items()
            for k, value in zip(self.ks, values, strict=True)
        }

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric, candidates aside."""
        return {"ks": self.ks, "name": self.name, "megabytes": self.megabytes}


class _Sums:
    """Sums over samples, float32 [cut-offs] and [].

    Keras' own metrics would be summed over replicas, of which each has all
    ranks here; and as no trackable object this is no part of a saved model.
    """

    def __init__(self, ks: Sequence[int]) -> None:
        self.hits = tf.Variable(tf.zeros([len(ks)]), trainable=False, name="hits")
        self.reciprocals = tf.Variable(tf.zeros([len(ks)]), trainable=False, name="reciprocals")
        self.count = tf.Variable(0.0, trainable=False, name="count")
