"""Losses against sampled negatives: the sampled softmax and the pairwise losses."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.catalogue_scores import CatalogueStatistics
from hln_tf.layers.noise import Seed
from hln_tf.tasks.loss import RetrievalLoss
from hln_tf.tasks.negatives import NegativeSampler, sampled_scores


@keras.utils.register_keras_serializable("hln_tf")
class SampledSoftmax(RetrievalLoss):
    """The cross-entropy of the softmax over the target and sampled negatives.

    A negative's score is lowered by log(N q_i), the log of its expected count
    (log-q correction), and a negative that is the example's target is excluded.
    The target itself is in every sample and needs no correction. The sum in the
    softmax's denominator then has the full softmax's sum as its expectation
    (Rawat et al., "Sampled Softmax with Random Fourier Features", NeurIPS 2019,
    section 2), and the loss tends to the full softmax's as N grows. In
    evaluation it is the full softmax's.

    TFRS' `SamplingProbablityCorrection` clips expected counts at 1, which popular
    items exceed, so the correction is this class's own.

    Args:
      num_negatives: N, see `NegativeSampler`.
      sampling_power: See `NegativeSampler`.
      **kwargs: Of a Keras layer.

    Example:
    >>> loss = SampledSoftmax(num_negatives=4, sampling_power=0.0)
    >>> loss.prepare(num_items=4)
    >>> loss(tf.zeros([1, 2]), tf.zeros([4, 2]), tf.constant([3])).numpy().round(3)
    array([1.386], dtype=float32)
    """

    reads_all_items = False
    negatives: NegativeSampler

    def __init__(
        self, num_negatives: int = 1024, sampling_power: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(NegativeSampler(num_negatives, sampling_power), **kwargs)

    def call(
        self, query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, seed: Seed | None = None
    ) -> tf.Tensor:
        """Compute the losses; see `RetrievalLoss`."""
        rows = self.negatives(seed)
        scores = sampled_scores(query, candidates, target, rows)
        of_negatives = scores.of_negatives - self.negatives.log_expected_count(rows)
        of_negatives = tf.where(scores.is_hit, of_negatives.dtype.min, of_negatives)
        logits = tf.concat([scores.of_target, of_negatives], axis=1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros_like(target), logits)

    def evaluate(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        statistics: CatalogueStatistics,
    ) -> tf.Tensor:
        """Return the full softmax's losses; see `RetrievalLoss`."""
        return statistics.cross_entropy()


class PairwiseLoss(RetrievalLoss):
    """A loss that compares the target's score r_i with the negatives' r_j, pair by pair.

    Subclasses define `pairs`. The loss of an example is 0 where all of its
    negatives are its target.

    Args:
      num_negatives: N, see `NegativeSampler`.
      sampling_power: See `NegativeSampler`.
      **kwargs: Of a Keras layer.
    """

    reads_all_items = False
    negatives: NegativeSampler

    def __init__(
        self, num_negatives: int = 1024, sampling_power: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(NegativeSampler(num_negatives, sampling_power), **kwargs)

    def call(
        self, query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, seed: Seed | None = None
    ) -> tf.Tensor:
        """Compute the losses; see `RetrievalLoss`."""
        scores = sampled_scores(query, candidates, target, self.negatives(seed))
        counted = tf.cast(~scores.is_hit, scores.of_negatives.dtype)
        return self.pairs(scores.of_target, scores.of_negatives, counted)

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each example, float [batch].

        Args:
          r_i: float [batch, 1], the target's score.
          r_j: float [batch, N], the negatives' scores.
          counted: float [batch, N], 0 for negatives that are the target, else 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `pairs`")


@keras.utils.register_keras_serializable("hln_tf")
class BPR(PairwiseLoss):
    """Bayesian personalised ranking, mean_j -log s(r_i - r_j) (Rendle et al., UAI 2009).

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity, from 0 to 1.
      **kwargs: Of a Keras layer.
    """

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compare the pairs; see `PairwiseLoss`."""
        return _mean(-tf.math.log_sigmoid(r_i - r_j), counted)


@keras.utils.register_keras_serializable("hln_tf")
class AdaptiveBPR(PairwiseLoss):
    """BPR against the hardest negative, -log s(r_i - max_j r_j) (Zhang et al., SIGIR 2013).

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity, from 0 to 1.
      **kwargs: Of a Keras layer.
    """

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compare the pairs; see `PairwiseLoss`."""
        hardest = tf.reduce_max(tf.where(counted > 0, r_j, r_j.dtype.min), axis=1, keepdims=True)
        is_any = tf.reduce_max(counted, axis=1, keepdims=True)
        return _mean(-tf.math.log_sigmoid(r_i - hardest), is_any)


@keras.utils.register_keras_serializable("hln_tf")
class BPRMax(PairwiseLoss):
    """BPR-max (Hidasi and Karatzoglou, CIKM 2018).

    With w the softmax of the negatives' scores r_j, the loss is

        -log sum_j w_j s(r_i - r_j) + penalty sum_j w_j r_j ** 2

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity.
      score_penalty: Weight of the squares of the negatives' scores.
      **kwargs: Of a Keras layer.
    """

    def __init__(
        self,
        num_negatives: int = 1024,
        sampling_power: float = 0.5,
        score_penalty: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_negatives, sampling_power, **kwargs)
        self.score_penalty = score_penalty

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compare the pairs; see `PairwiseLoss`."""
        log_weight = tf.nn.log_softmax(tf.where(counted > 0, r_j, r_j.dtype.min))
        pairs = tf.math.log_sigmoid(r_i - r_j)
        log_likelihood = tf.reduce_logsumexp(log_weight + pairs, axis=1)
        weight = counted * tf.exp(log_weight)
        penalties = self.score_penalty * tf.reduce_sum(weight * r_j**2, axis=1)
        return tf.reduce_max(counted, axis=1) * (penalties - log_likelihood)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss, item counts aside."""
        return {**super().get_config(), "score_penalty": self.score_penalty}


@keras.utils.register_keras_serializable("hln_tf")
class TOP1(PairwiseLoss):
    """TOP1, mean_j s(r_j - r_i) + s(r_j ** 2) (Hidasi et al., ICLR 2016).

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity, from 0 to 1.
      **kwargs: Of a Keras layer.
    """

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compare the pairs; see `PairwiseLoss`."""
        return _mean(tf.sigmoid(r_j - r_i) + tf.sigmoid(r_j**2), counted)


@keras.utils.register_keras_serializable("hln_tf")
class BinaryCrossEntropy(PairwiseLoss):
    """Binary cross-entropy, -log s(r_i) - mean_j log(1 - s(r_j)) (Kang and McAuley, ICDM 2018).

    Args:
      num_negatives: N, negatives sampled in a step.
      sampling_power: The exponent of popularity, from 0 to 1.
      **kwargs: Of a Keras layer.
    """

    def pairs(self, r_i: tf.Tensor, r_j: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """Compare the pairs; see `PairwiseLoss`."""
        return _mean(-tf.math.log_sigmoid(r_i) - tf.math.log_sigmoid(-r_j), counted)


def _mean(pairs: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Compute the mean over each example's counted pairs, 0 where there are none."""
    return tf.math.divide_no_nan(
        tf.reduce_sum(counted * pairs, axis=1), tf.reduce_sum(counted, axis=1)
    )
