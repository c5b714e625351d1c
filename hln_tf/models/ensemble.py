"""Several models as one: the mean of their probabilities."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder

# Below every probability that a model has, but not 0: its logarithm is finite.
_SMALLEST = 1e-37


@dataclasses.dataclass(frozen=True)
class EnsembleSettings:
    """An ensemble has no settings: its models have."""


@keras.utils.register_keras_serializable("hln_tf")
class Ensemble(SessionScorer):
    """The weighted mean of the probabilities that models have for the next item.

    Of a trained model they are the softmax of its scores. Of one that counts they are
    its scores divided by their sum, negative ones taken for 0; where there are none,
    clicks in training. A mean of probabilities, not of their logarithms, leaves an item
    that one model has never counted to the others. The scores are the mean's logarithms.

    Means of runs that differ in the seed alone, and of one trained model and one that
    counts transitions, are both this. An ensemble is not trained: its models are.

    Args:
      models: Two or more models with the same catalogue.
      shares: The weight of each, at least 0, of which the sum is 1; equal by default.
      **arguments: `name`, and `score_megabytes`; see `SessionScorer`.

    Raises:
      ValueError: The models' catalogues differ, or `shares` cannot be used.

    Example:
    >>> from hln_tf.models import BPRMF, Popularity
    >>> ensemble = Ensemble([BPRMF(num_items=4), Popularity(num_items=4)], shares=[0.9, 0.1])
    >>> tf.reduce_sum(tf.exp(ensemble(tf.constant([[1, 3]])))).numpy().round(3)
    np.float32(1.0)
    """

    Settings = EnsembleSettings

    def __init__(
        self,
        models: Sequence[SessionScorer],
        *,
        shares: Sequence[float] | None = None,
        **arguments: Any,
    ) -> None:
        sizes = sorted({model.num_items for model in models})
        if len(models) < 2 or len(sizes) > 1:
            raise ValueError(
                f"`models` must be two or more with one catalogue, received {len(models)} with "
                f"{' and '.join(map(str, sizes)) or 'no'} items"
            )
        shares = [1 / len(models)] * len(models) if shares is None else list(map(float, shares))
        if len(shares) != len(models) or min(shares) < 0 or not abs(sum(shares) - 1) < 1e-6:
            raise ValueError(
                f"`shares` must be {len(models)} numbers of at least 0 with the sum 1, received "
                f"{shares}"
            )
        super().__init__(sizes[0], **arguments)
        self.models, self.shares = list(models), tuple(shares)
        self.item_counts = models[0].item_counts
        self.compile()  # to evaluate: there is nothing to train

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        mean: Any = tf.add_n(
            [
                share * probabilities(model, items)
                for model, share in zip(self.models, self.shares, strict=True)
                if share
            ]
        )
        return tf.math.log(tf.maximum(mean, _SMALLEST))

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to train.

        Args:
          *args: Those of `keras.Model.fit`.
          **kwargs: Those of `keras.Model.fit`.

        Raises:
          TypeError: Always: the models are trained, each for itself.
        """
        raise self._untrainable("fit")

    def fit_counts(self, sessions: Any) -> Sessions:
        """Refuse to count; see `fit`.

        Args:
          sessions: See `SessionScorer`.

        Raises:
          TypeError: Always.
        """
        raise self._untrainable("fit_counts")

    def _untrainable(self, verb: str) -> TypeError:
        return TypeError(
            f"an Ensemble has no `{verb}`: train each of its `models`, then make one of them"
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """See `SessionScorer`; the optimiser has no state of weights, as it trains none."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self) -> dict[str, Any]:
        """See `SessionScorer`."""
        config = super().get_config()
        del config["num_items"]
        models = [keras.saving.serialize_keras_object(model) for model in self.models]
        return {**config, "models": models, "shares": list(self.shares)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Ensemble":
        """See `SessionScorer`."""
        models = [keras.saving.deserialize_keras_object(each) for each in config["models"]]
        return cls(**{**config, "models": models})


def probabilities(model: SessionScorer, items: tf.Tensor) -> tf.Tensor:
    """Compute the probabilities of all items as the next one, see `Ensemble`.

    Args:
      model: A model, trained or one that counts.
      items: int32 [batch, time], padded with 0.

    Returns:
      float32 [batch, items].
    """
    scores = model.scores(items)
    if isinstance(model, Ensemble):
        return tf.exp(scores)
    if isinstance(model, SessionEncoder):
        return tf.nn.softmax(scores)
    counts: Any = tf.cast(model.item_counts, scores.dtype)[None]
    scores = tf.maximum(scores, 0)
    scores = tf.where(tf.reduce_max(scores, axis=1, keepdims=True) > 0, scores, counts)
    return tf.math.divide_no_nan(scores, tf.reduce_sum(scores, axis=1, keepdims=True))
