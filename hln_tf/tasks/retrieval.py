"""Retrieval from a whole catalogue as a TFRS task."""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.layers.noise import Seed
from hln_tf.layers.repeat_head import Repeats
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.tasks.loss import RetrievalLoss


@keras.utils.register_keras_serializable("hln_tf")
class FullCatalogueRetrieval(tfrs.tasks.Retrieval):
    """A retrieval task whose candidates are the whole item table.

    Its parent takes the other targets of the batch for the candidates; here the
    targets are given by their row in the table, the loss is an object, and the
    metrics rank every item. Loss and ranks of an evaluation come from the same
    chunks of scores.

    Args:
      loss: The loss.
      ranking: Recall and MRR, updated where asked for.
      name: Name of the layer.
    """

    def __init__(
        self, loss: RetrievalLoss, ranking: FullCatalogueRanking, name: str | None = None
    ) -> None:
        super().__init__(metrics=[ranking], name=name)
        self.retrieval_loss = loss
        self.ranking = ranking

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        target: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        compute_metrics: bool = True,
        seed: Seed | None = None,
        repeats: Repeats | None = None,
    ) -> tf.Tensor:
        """Compute the loss, and update the metrics in evaluation.

        Args:
          query_embeddings: float [batch, d].
          candidate_embeddings: float [items, d], the whole catalogue.
          target: int [batch], row of each example's target in the catalogue.
          sample_weight: float [batch], or None for equal weights.
          compute_metrics: Whether it is an evaluation.
          seed: On which everything sampled depends, in training.
          repeats: The probabilities of the sessions' own items, of a model with a
            repeat head.

        Returns:
          The weighted mean of the examples' losses, float [].
        """
        target = tf.convert_to_tensor(target)
        if compute_metrics:
            statistics = self.ranking.statistics(
                query_embeddings, candidate_embeddings, target, repeats
            )
            self.ranking.update_from_ranks(statistics.ranks, sample_weight)
            losses = self.retrieval_loss.evaluate(
                query_embeddings, candidate_embeddings, target, statistics
            )
        else:
            mixed = {} if repeats is None else {"repeats": repeats}
            losses = self.retrieval_loss(
                query_embeddings, candidate_embeddings, target, seed=seed, **mixed
            )
        if sample_weight is None:
            return tf.reduce_mean(losses)
        weight = tf.cast(sample_weight, losses.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weight), tf.reduce_sum(weight))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal task."""
        serialize = keras.saving.serialize_keras_object
        return {
            "loss": serialize(self.retrieval_loss),
            "ranking": serialize(self.ranking),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FullCatalogueRetrieval":
        """Make a task from what `get_config` returned."""
        deserialize = keras.saving.deserialize_keras_object
        return cls(deserialize(config["loss"]), deserialize(config["ranking"]), config["name"])
