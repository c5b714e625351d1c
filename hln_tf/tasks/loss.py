"""The interface of the losses that train a model against a catalogue of items."""

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.catalogue_scores import CatalogueStatistics
from hln_tf.layers.checked_call import CheckedCall, check_floats, check_shape, sizes_of
from hln_tf.tasks.negatives import NegativeSampler


class RetrievalLoss(CheckedCall, keras.layers.Layer):
    """A loss of queries against a catalogue, of which one item is the target.

    Subclasses define `call`. A model takes a loss as an object, such as
    `HLN(num_items, loss=FullSoftmax())`, or by its name in `hln_tf.tasks.get`. An
    object with negatives belongs to one model, whose item counts it has.

    Negatives are sampled by the items' counts in training. `fit` of a model counts
    the targets if nothing has been counted; `fit_counts(sessions)` of a model counts
    the clicks of sessions instead.

    Args:
      negatives: The sampler of negatives, for a loss that has any.
      **kwargs: Of a Keras layer.

    Call arguments:
      query: float [batch, d], query embeddings.
      candidates: float [items, d], embeddings of the whole catalogue.
      target: int [batch], row of each example's target in the catalogue.
      seed: int32 [2] or `StepSeed`, on which everything sampled depends; None
        for seed 0.

    Returns:
      The loss of each example, float [batch].

    Raises:
      TypeError: Embeddings are no floats, or an argument or the caller is Keras 3's.
      ValueError: An argument has another shape, or `prepare` was not called.

    Attributes:
      reads_all_items: Whether a step reads every candidate, so that the gradient
        by the item table is dense; else it is sparse.
      takes_repeats: Whether `call` takes the `repeats` of a model with a repeat head.
    """

    reads_all_items: ClassVar[bool] = True
    takes_repeats: ClassVar[bool] = False

    def __init__(self, negatives: NegativeSampler | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negatives = negatives

    def check_call(
        self, query: Any, candidates: Any = None, target: Any = None, **others: Any
    ) -> None:
        """Check the arguments of `call`."""
        if self.negatives is not None and not self.negatives.weights:
            raise ValueError(
                f"{type(self).__name__} does not know its catalogue: pass it to a model, or call "
                f"`prepare(num_items)`"
            )
        check_floats("query", query)
        check_shape("query", query, ("batch", "d"))
        batch, d = sizes_of(query, "batch", "d")
        check_shape("candidates", candidates, ("items", d))
        check_shape("target", target, (batch,))

    @property
    def uses_item_counts(self) -> bool:
        """True where the loss depends on item counts, as the sampling of negatives does."""
        return self.negatives is not None and self.negatives.sampling_power > 0

    def prepare(self, num_items: int) -> None:
        """Add what depends on the size of the catalogue; called once by a model."""
        if self.negatives is not None:
            self.negatives.prepare(num_items)

    def fit_counts(self, item_counts: np.ndarray) -> None:
        """Take the clicks of each item in training, int [items]."""
        if self.negatives is not None:
            self.negatives.fit_counts(item_counts)

    def evaluate(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        statistics: CatalogueStatistics,
    ) -> tf.Tensor:
        """Compute the loss of each example in evaluation, float [batch].

        By default it is that of training with seed 0. Losses that estimate the
        full softmax's report that one, from the statistics of the scores.

        Args:
          query: As in `call`.
          candidates: As in `call`.
          target: As in `call`.
          statistics: Those of all scores.
        """
        return self(query, candidates, target)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss, item counts aside."""
        config = super().get_config()
        if self.negatives is not None:
            config |= {
                "num_negatives": self.negatives.num_negatives,
                "sampling_power": self.negatives.sampling_power,
            }
        return config
