"""Retrieval by losses that compare the target with drawn negatives, pair by pair."""

from typing import Any

import tensorflow as tf

from hln_tf.common.errors import UsageError
from hln_tf.layers.sharding import Seed, step_seed
from hln_tf.tasks.sampled_softmax import SampledSoftmaxRetrieval, sampled_scores

PAIRWISE = ("bpr", "bpr_adaptive", "bpr_max", "top1")


class PairwiseRetrieval(SampledSoftmaxRetrieval):
    """A retrieval task whose loss compares the target's score r_i with negatives' r_j.

    Negatives are drawn as its parent draws them, and so is what it learns from
    counts. With s the logistic function, the loss of a row is

        bpr           mean_j -log s(r_i - r_j)          (Rendle et al., UAI 2009)
        bpr_adaptive  -log s(r_i - max_j r_j)           (Zhang et al., SIGIR 2013)
        bpr_max       -log sum_j w_j s(r_i - r_j) + penalty sum_j w_j r_j ** 2
                      with w the softmax of the r_j     (Hidasi and Karatzoglou, CIKM 2018)
        top1          mean_j s(r_j - r_i) + s(r_j ** 2) (Hidasi et al., ICLR 2016)

    over the negatives that are not the row's target; it is 0 where there are none.

    Args:
      num_items: Size of the catalogue.
      num_negatives: N, negatives drawn in a step, shared by its batch.
      power: How much popularity counts in drawing them.
      loss_name: One of the four.
      penalty: Of `bpr_max`.
      metrics: `tfrs.metrics.Factorized` metrics, updated where asked for.
      name: Name of the layer.
    """

    def __init__(
        self,
        num_items: int,
        num_negatives: int,
        power: float,
        loss_name: str,
        penalty: float = 0.0,
        metrics: Any = None,
        name: str | None = None,
    ) -> None:
        if loss_name not in PAIRWISE:
            raise UsageError(f"`loss_name` must be one of {PAIRWISE}, received {loss_name!r}")
        super().__init__(num_items, num_negatives, power, metrics, name)
        self.loss_name = loss_name
        self.penalty = penalty

    def losses(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        target: tf.Tensor,
        seed: Seed | None = None,
    ) -> tf.Tensor:
        """See `FullSoftmaxRetrieval`; without a seed, the negatives are those of seed 0."""
        drawn_by = tf.zeros([2], tf.int32) if seed is None else step_seed(seed)
        r_i, r_j, is_hit = sampled_scores(
            query_embeddings, candidate_embeddings, target, self.draw(drawn_by)
        )
        counted = tf.cast(~is_hit, r_j.dtype)
        if self.loss_name == "bpr_adaptive":
            r_j = tf.reduce_max(tf.where(is_hit, r_j.dtype.min, r_j), axis=1, keepdims=True)
            counted = tf.reduce_max(counted, axis=1, keepdims=True)
        if self.loss_name == "bpr_max":
            log_weight = tf.nn.log_softmax(tf.where(is_hit, r_j.dtype.min, r_j))
            pairs = tf.math.log_sigmoid(r_i - r_j)
            log_likelihood = tf.reduce_logsumexp(log_weight + pairs, axis=1)
            weight = counted * tf.exp(log_weight)
            penalties = self.penalty * tf.reduce_sum(weight * r_j**2, axis=1)
            return tf.reduce_max(counted, axis=1) * (penalties - log_likelihood)
        if self.loss_name == "top1":
            pairs = tf.sigmoid(r_j - r_i) + tf.sigmoid(r_j**2)
        else:
            pairs = -tf.math.log_sigmoid(r_i - r_j)
        return tf.math.divide_no_nan(
            tf.reduce_sum(counted * pairs, axis=1), tf.reduce_sum(counted, axis=1)
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal task, metrics and learnt counts aside."""
        return {**super().get_config(), "loss_name": self.loss_name, "penalty": self.penalty}
