"""The softmax over the targets of the batch, by TFRS' own retrieval task."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.layers.catalogue_scores import CatalogueStatistics
from hln_tf.layers.noise import Seed
from hln_tf.tasks.loss import RetrievalLoss


@keras.utils.register_keras_serializable("hln_tf")
class InBatchSoftmax(RetrievalLoss):
    """The cross-entropy of the softmax over the other targets of the batch.

    It is that of `tfrs.tasks.Retrieval`: scores are corrected by the targets'
    sampling probability (Yi et al., RecSys 2019), their share of what `fit_counts`
    or `fit` of the model has counted, see `RetrievalLoss`; accidental hits, equal
    targets of other examples, are removed. In evaluation the loss is the full
    softmax's.

    Args:
      remove_accidental_hits: Whether negatives that are the example's target are
        removed.
      **kwargs: Of a Keras layer.

    Example:
    >>> loss = InBatchSoftmax()
    >>> loss.prepare(num_items=4)
    >>> loss(tf.zeros([2, 2]), tf.zeros([4, 2]), tf.constant([3, 1])).numpy().round(3)
    array([0.693, 0.693], dtype=float32)
    """

    reads_all_items = False

    @property
    def uses_item_counts(self) -> bool:
        """True: the counts are the sampling probabilities."""
        return True

    def __init__(self, remove_accidental_hits: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remove_accidental_hits = remove_accidental_hits
        self._task = tfrs.tasks.Retrieval(
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, reduction=keras.losses.Reduction.NONE
            ),
            remove_accidental_hits=remove_accidental_hits,
        )

    def prepare(self, num_items: int) -> None:
        """Add the items' sampling probabilities, uniform until `fit_counts` is called."""
        self.probabilities = tf.Variable(
            tf.fill([num_items], 1 / num_items), trainable=False, name="probabilities"
        )

    def fit_counts(self, item_counts: np.ndarray) -> None:
        """Take the clicks of each item, int [items]."""
        self.probabilities.assign((1 + item_counts) / (1 + item_counts).sum())

    def call(
        self, query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, seed: Seed | None = None
    ) -> tf.Tensor:
        """Compute the losses; see `RetrievalLoss`."""
        return self._task(
            query,
            tf.gather(candidates, target),
            candidate_sampling_probability=tf.gather(self.probabilities, target),
            candidate_ids=target,
            compute_metrics=False,
        )

    def evaluate(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        statistics: CatalogueStatistics,
    ) -> tf.Tensor:
        """Return the full softmax's losses; see `RetrievalLoss`."""
        return statistics.cross_entropy()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss, item counts aside."""
        own = {"remove_accidental_hits": self.remove_accidental_hits}
        return {**super().get_config(), **own}
