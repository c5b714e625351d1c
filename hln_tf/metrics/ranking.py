"""Recall@k and MRR@k over the full catalogue."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.layers.catalogue_scores import (
    CatalogueStatistics,
    catalogue_statistics,
    rank_in_catalogue,
)
from hln_tf.layers.choices import SCORE_MEGABYTES, checked_count
from hln_tf.layers.repeat_head import Repeats, mixture_statistics

KS = (5, 10, 20)


class _MeanOverRanks(keras.metrics.Metric):
    """A mean over examples of a function of the target's rank, summed in float64.

    Args:
      k: The cut-off, at least 1.
      name: Name of the metric.

    Raises:
      ValueError: `k` is no integer or below 1.
    """

    def __init__(self, k: int, name: str, **kwargs: Any) -> None:
        k = checked_count("k", k)
        super().__init__(name, **{**kwargs, "dtype": "float64"})
        self.k = k
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, ranks: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Add a batch.

        Args:
          ranks: int [batch], the targets' ranks, from 1.
          sample_weight: float [batch], or None for equal weights.
        """
        ranks = tf.cast(ranks, tf.float64)
        weight = tf.ones_like(ranks) if sample_weight is None else tf.cast(sample_weight, "float64")
        values = tf.where(ranks <= self.k, self.value(ranks), 0)
        self.total.assign_add(tf.reduce_sum(weight * values))
        self.count.assign_add(tf.reduce_sum(weight))

    def value(self, ranks: tf.Tensor) -> tf.Tensor:
        """Compute the values of targets that rank within the cut-off, float64 [batch]."""
        raise NotImplementedError(f"{type(self).__name__} must define `value`")

    def result(self) -> tf.Tensor:
        """Compute the mean, as a fraction of 1."""
        return tf.math.divide_no_nan(self.total, self.count)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal metric."""
        return {"name": self.name, "k": self.k}


@keras.utils.register_keras_serializable("hln_tf")
class RecallAtK(_MeanOverRanks):
    """The share of examples whose target ranks within the first k (also HitRate@k).

    Args:
      k: The cut-off, at least 1.
      name: Name of the metric, `recall@k` by default.

    Example:
    >>> metric = RecallAtK(2)
    >>> metric.update_state([1, 2, 3, 4])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, k: int = 20, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(k, name or f"recall@{k}", **kwargs)

    def value(self, ranks: tf.Tensor) -> tf.Tensor:
        """Count one for each hit."""
        return tf.ones_like(ranks)


@keras.utils.register_keras_serializable("hln_tf")
class MRRAtK(_MeanOverRanks):
    """The mean reciprocal rank of the target, 0 where it ranks below the first k.

    Args:
      k: The cut-off, at least 1.
      name: Name of the metric, `mrr@k` by default.

    Example:
    >>> metric = MRRAtK(2)
    >>> metric.update_state([1, 2, 3, 4])
    >>> float(metric.result())
    0.375
    """

    def __init__(self, k: int = 20, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(k, name or f"mrr@{k}", **kwargs)

    def value(self, ranks: tf.Tensor) -> tf.Tensor:
        """Compute the reciprocal ranks."""
        return 1 / ranks


@keras.utils.register_keras_serializable("hln_tf")
class NDCGAtK(_MeanOverRanks):
    """The mean of 1 / log2(1 + rank) of the target, 0 where it ranks below the first k.

    It is the normalised discounted cumulative gain of lists with one relevant item
    (Järvelin and Kekäläinen, ACM TOIS 20, 2002).

    Args:
      k: The cut-off, at least 1.
      name: Name of the metric, `ndcg@k` by default.

    Example:
    >>> metric = NDCGAtK(2)
    >>> metric.update_state([1, 3])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, k: int = 20, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(k, name or f"ndcg@{k}", **kwargs)

    def value(self, ranks: tf.Tensor) -> tf.Tensor:
        """Compute the discounts."""
        return tf.math.log(tf.constant(2.0, ranks.dtype)) / tf.math.log1p(ranks)


@keras.utils.register_keras_serializable("hln_tf")
class FullCatalogueRanking(tfrs.metrics.Factorized):
    """Recall@k and MRR@k with every item of the catalogue as a candidate.

    `tfrs.metrics.FactorizedTopK` compares the target's own dot product with
    matrix products, which differ at float precision, and has no MRR.

    Args:
      ks: The cut-offs.
      megabytes: Memory for the scores of queries with candidates at a time; a
        larger catalogue is ranked in chunks.
      candidates: Returns the item table, float [items, d]; called in each
        `update_state`, so that the metric follows training.
      name: Name of the layer.

    Attributes:
      metrics_at_k: The `RecallAtK` and `MRRAtK` metrics.
    """

    def __init__(
        self,
        ks: Sequence[int] = KS,
        megabytes: int = SCORE_MEGABYTES,
        candidates: Callable[[], tf.Tensor] | None = None,
        name: str = "ranking",
    ) -> None:
        super().__init__(name=name)
        self.ks = tuple(ks)
        self.megabytes = megabytes
        self._candidates = candidates
        self.metrics_at_k = [RecallAtK(k) for k in self.ks] + [MRRAtK(k) for k in self.ks]
        self.built = True

    def update_state(
        self,
        query_embeddings: tf.Tensor,
        true_candidate_embeddings: tf.Tensor | None = None,
        true_candidate_ids: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Add a batch of queries.

        Args:
          query_embeddings: float [batch, d].
          true_candidate_embeddings: Ignored, see `target_ranks`.
          true_candidate_ids: int [batch], row of each target in the item table.
          sample_weight: float [batch], or None for equal weights.

        Raises:
          ValueError: The metric has no `candidates`.
        """
        if self._candidates is None:
            raise ValueError("`candidates` is None: pass ranks to `update_from_ranks`")
        ranks, _ = self.rank_targets(query_embeddings, self._candidates(), true_candidate_ids)
        return self.update_from_ranks(ranks, sample_weight)

    def rank_targets(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        repeats: Repeats | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute ranks and scores of targets among all candidates, see `rank_in_catalogue`.

        With `repeats` the scores are the log-probabilities of `mixture_statistics`.
        """
        if repeats is not None:
            found = self.statistics(query, candidates, target, repeats)
            return found.ranks, found.target_scores
        return rank_in_catalogue(query, candidates, target, self.megabytes)

    def statistics(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        repeats: Repeats | None = None,
    ) -> CatalogueStatistics:
        """Compute ranks and partition functions in one pass, see `catalogue_statistics`.

        With `repeats` the scores are the log-probabilities of `mixture_statistics`.
        """
        if repeats is not None:
            return mixture_statistics(query, candidates, target, repeats, self.megabytes)
        return catalogue_statistics(query, candidates, target, self.megabytes)

    def update_from_ranks(
        self, ranks: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        """Add the ranks of a batch's targets, int [batch], from 1."""
        for metric in self.metrics_at_k:
            metric.update_state(ranks, sample_weight)
        return tf.no_op()

    def reset_states(self) -> None:
        """Forget all batches."""
        for metric in self.metrics_at_k:
            metric.reset_state()

    def results(self) -> dict[str, float]:
        """Return the metrics by name, such as `mrr@20`, as fractions of 1."""
        return {metric.name: float(metric.result()) for metric in self.metrics_at_k}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal metric, candidates aside."""
        return {"ks": self.ks, "megabytes": self.megabytes, "name": self.name}
