"""Trained models: encoders of a session into a query embedding in item space."""

import inspect
import types
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import SettingError
from hln_tf.data.sessions import Sessions
from hln_tf.layers.choices import SCORE_MEGABYTES
from hln_tf.layers.item_table import gather_with_shared_gradient, item_rows, mask_padding
from hln_tf.layers.noise import Seed, sizes, uniform_rows
from hln_tf.layers.repeat_head import RepeatHead, Repeats, log_probabilities
from hln_tf.layers.seeds import SeedGenerator
from hln_tf.layers.sharding import weigh_part
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.models.base import SessionScorer, check_callbacks, check_returned
from hln_tf.models.batches import Batch, epoch, targets_of
from hln_tf.models.item_space import ItemSpaceScorer
from hln_tf.models.prefix_encoding import PrefixEncoding
from hln_tf.tasks.loss import RetrievalLoss
from hln_tf.tasks.registry import get, losses_with
from hln_tf.tasks.retrieval import FullCatalogueRetrieval

# Separates the dropout of item embeddings from other noise with the same seed.
ITEM_DROPOUT = 0x44524F50


class SessionEncoder(PrefixEncoding, ItemSpaceScorer):
    """A trained model: encodes a session as a query embedding in item space.

    The score of an item is the dot product of its embedding with the query
    (eq. 7). With `repeat_head` it is the item's log-probability under two softmaxes,
    see `hln_tf.layers.repeat_head`, so that such a model declares no `encode`.
    Subclasses define `encode_embeddings` alone; the item table and the last click's own
    path into the query are those of `ItemSpaceScorer`, and the repeat head, the task with
    its loss and its metrics, and Keras' verbs are here.

    Attributes:
      retrieval_loss: The loss, an object.

    Raises:
      TypeError: An argument is unknown.
      ValueError: An argument is not allowed.
    """

    ARGUMENTS: ClassVar[dict[str, str]] = {
        **SessionScorer.ARGUMENTS,
        "loss": "A `hln_tf.tasks.RetrievalLoss` of its own, or a name that `hln_tf.tasks.get` "
        "takes, such as `softmax` or `sampled`.",
        "seed": "Fixes noise and negatives of training where a step has no seed; None for a seed "
        "that `keras.utils.set_random_seed` fixes.",
    }

    def __init__(
        self,
        num_items: int,
        *,
        loss: str | dict[str, Any] | RetrievalLoss = "softmax",
        seed: int | None = None,
        score_megabytes: int = SCORE_MEGABYTES,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, score_megabytes=score_megabytes, name=name, **settings)
        if not isinstance(seed, int | np.integer | None):
            raise ValueError(f"`seed` must be an integer or None, received {seed!r}")
        self.seed = None if seed is None else int(seed)
        self._seeds = SeedGenerator(seed)
        self.retrieval_loss = get(loss)
        if self.retrieval_loss.weights:  # a table of item counts
            name = type(self.retrieval_loss).__name__
            raise ValueError(
                f"this {name} belongs to another model already: make one for each model, or pass "
                f"its name"
            )
        self.retrieval_loss.prepare(self.num_items)
        if self.settings.repeat_head:
            if not self.retrieval_loss.takes_repeats:
                raise SettingError(
                    "repeat_head",
                    True,
                    f"False with {type(self.retrieval_loss).__name__}: the two softmaxes are "
                    f"trained by FullSoftmax, the loss softmax",
                )
            self.repeat_head = RepeatHead(self.num_items)
            self.encode = None  # type: ignore[method-assign, assignment]
        ranking = FullCatalogueRanking(
            megabytes=int(score_megabytes), candidates=self.item_embeddings
        )
        self._untracked = types.SimpleNamespace(
            ranking=ranking,
            task=FullCatalogueRetrieval(self.retrieval_loss, ranking),
            loss=keras.metrics.Mean(name="loss", dtype="float64"),
        )

    def _hint(self, argument: str) -> str:
        """See `SessionScorer`; an argument of a loss needs a loss object."""
        losses = losses_with(argument)
        if not losses:
            return ""
        return (
            f", which is an argument of {' and '.join(losses)}: pass a loss object, "
            f"{type(self).__name__}({self.num_items}, loss={losses[0]}({argument}=...))"
        )

    @property
    def task(self) -> FullCatalogueRetrieval:
        """The retrieval task, which computes the loss and updates Recall and MRR."""
        return self._untracked.task

    def fit_counts(self, sessions: Any) -> Sessions:
        """Count the clicks of each item, for popularity and for sampling negatives.

        `fit` calls it with the targets if the loss depends on popularity and nothing
        has been counted.

        Args:
          sessions: See `SessionScorer`.
        """
        columns = super().fit_counts(sessions)
        self.retrieval_loss.fit_counts(self.item_counts.numpy())
        return columns

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """Encode sessions from their item embeddings.

        Args:
          items: int32 [batch, time], padded with 0.
          x: float32 [batch, time, d], the items' embeddings, 0 at padding.
          training: Whether to sample noise.
          seed: On which all noise depends, see `encode`.

        Returns:
          Embeddings in item space, float32 [batch, d].
        """
        raise NotImplementedError(f"{type(self).__name__} must define `encode_embeddings`")

    def encode(
        self, items: tf.Tensor, training: bool = False, seed: Seed | None = None
    ) -> tf.Tensor:
        """Encode sessions.

        Args:
          items: int32 [batch, time], padded with 0.
          training: Whether to sample noise.
          seed: int32 [2], on which all noise depends, or a `hln_tf.layers.noise.StepSeed`. By
            default the model's own.

        Returns:
          Query embeddings, float32 [batch, d].
        """
        x = self.lookup(self.item_embeddings(), items)
        if training and seed is None:
            seed = self._seeds.next()
        return self._query(items, x, training, seed)

    def _query(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """Compute query embeddings from item embeddings; see `encode_embeddings`."""
        embeddings = self.encode_embeddings(items, x, training, seed)
        check_returned(embeddings, x.shape[2], f"`encode_embeddings` of {type(self).__name__}")
        return self.to_query(self.add_last_click(embeddings, items, x))

    def encode_with_repeats(self, items: tf.Tensor) -> tuple[tf.Tensor, Repeats | None]:
        """Encode sessions, and what the repeat head knows of them.

        Args:
          items: int32 [batch, time], padded with 0.

        Returns:
          Query embeddings, float32 [batch, d], those of `encode` where there is one; and the
          `Repeats` of a model with a repeat head, None of one without.
        """
        if not self.settings.repeat_head:
            return self.encode(items), None
        x = self.lookup(self.item_embeddings(), items)
        query = self._query(items, x, False, None)
        return query, self._repeats(items, x, query)

    def _repeats(self, items: tf.Tensor, x: tf.Tensor, query: tf.Tensor) -> Repeats | None:
        """Compute what the repeat head knows of sessions; None for a model without one."""
        if not self.settings.repeat_head:
            return None
        of_length_1 = query / self.scale if self.settings.normalize else query
        return self.repeat_head(x, query=of_length_1, items=items)

    def drop(
        self,
        x: tf.Tensor,
        rate: float,
        seed: Seed | None,
        salt: int,
        time_axes: Sequence[int] = (),
    ) -> tf.Tensor:
        """Apply dropout: zero a fraction of the entries and scale the others up.

        Args:
          x: float [batch, ...].
          rate: The fraction.
          seed: On which the noise depends, see `encode`.
          salt: Separates it from other noise with the same seed.
          time_axes: Axes of time steps, see `uniform_rows`.
        """
        if rate == 0:
            return x
        if seed is None:
            raise ValueError("`seed` is None: dropout must depend on the step")
        is_left = uniform_rows(sizes(x), seed, 0, time_axes, salt) >= rate
        return tf.where(is_left, x / (1 - rate), 0)

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        query, repeats = self.encode_with_repeats(items)
        scores = tf.matmul(query, self.item_embeddings(), transpose_b=True)
        return scores if repeats is None else log_probabilities(scores, repeats)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Compute the task's loss for a batch of examples.

        Args:
          inputs: `items` int32 [batch, time], `target` int32 [batch], item
            indices from 1, and optionally `weight` float32 [batch], `share`
            float32 [], by which the loss is scaled, and, in training, `seed`
            int32 [2]; see `replica_part`.
          training: Whether to sample noise; metrics are updated where not.
        """
        items, seed = inputs["items"], inputs.get("seed")
        if training and seed is None:
            seed = self._seeds.next()
        candidates = self.item_embeddings()
        if self.retrieval_loss.reads_all_items:
            rows, candidates = gather_with_shared_gradient(candidates, item_rows(items))
            x = mask_padding(rows, items)
        else:
            x = self.lookup(candidates, items)
        if training:
            x = self.drop(x, self.settings.dropout, seed, ITEM_DROPOUT, time_axes=[1])
        query = self._query(items, x, training, seed)
        loss = self.task(
            query,
            candidates,
            target=inputs["target"] - 1,
            sample_weight=inputs.get("weight"),
            compute_metrics=not training,
            seed=seed if training else None,
            repeats=self._repeats(items, x, query),
        )
        return inputs["share"] * loss if "share" in inputs else loss

    def after_step(self, items: tf.Tensor) -> None:
        """Update state after an optimiser step of training, in its graph; by default do nothing.

        State that is no trained weight is changed here, and nowhere else: a loss
        may be computed more often than a step is taken. The call is outside the
        replicas, with the whole batch, so all of them get the same values.

        Args:
          items: int32 [batch, time], the step's sessions, padded with 0.
        """
        del items  # AutoGraph asks for a body

    def rank_targets(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """See `SessionScorer`; a large catalogue is ranked in chunks."""
        query, repeats = self.encode_with_repeats(batch["items"])
        candidates, target = self.item_embeddings(), batch["target"] - 1
        return self.ranking.rank_targets(query, candidates, target, repeats)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """See `SessionScorer`; the mean loss over examples in addition."""
        return [self._untracked.loss, *super().metrics]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Take an optimiser step, as `tfrs.Model` does, and report the mean loss so far.

        Replicas compute shares of the global batch's loss, as the optimiser adds up
        their gradients.
        """
        batch = weigh_part(self._checked_batch(data))
        logs = super().train_step(batch)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            self.after_step(batch["items"])
        else:
            context.merge_call(self._after_merged_step, args=(batch["items"],))
        self._track_loss(logs["loss"], batch)
        return {"loss": self._untracked.loss.result()}

    def _after_merged_step(self, strategy: tf.distribute.Strategy, items: Any) -> None:
        self.after_step(strategy.gather(items, axis=0))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluate a batch, as `tfrs.Model` does: the mean loss, Recall and MRR so far."""
        batch = weigh_part(self._checked_batch(data))
        logs = super(SessionScorer, self).test_step(batch)
        self._track_loss(logs["loss"], batch)
        return {metric.name: metric.result() for metric in self.metrics}

    def _track_loss(self, loss: tf.Tensor, batch: Batch) -> None:
        """Add a batch's mean loss; batches and their parts may differ in size."""
        if "share" in batch:
            loss = tf.math.divide_no_nan(loss, batch["share"])
        weight = batch.get("weight")
        size = tf.size(batch["target"]) if weight is None else tf.reduce_sum(weight)
        self._untracked.loss.update_state(loss, sample_weight=tf.cast(size, tf.float64))

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train; as `keras.Model.fit`, with checks of the callbacks.

        Where the loss depends on popularity and `item_counts` are all 0, the
        targets of an epoch are counted first, in a pass of its own over the data.
        Data that cannot be passed over twice, such as a generator, are not counted;
        a warning then asks for `fit_counts`.

        Args:
          *args: Those of `keras.Model.fit`.
          **kwargs: Those of `keras.Model.fit`.

        Raises:
          TypeError: A callback is Keras 3's.
          ValueError: A callback would minimise Recall or MRR.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        check_callbacks(given.get("callbacks"))
        if self.retrieval_loss.uses_item_counts and not np.any(self.item_counts):
            names = ("x", "y", "steps_per_epoch", "validation_split")
            batches = epoch(*map(given.get, names))
            if batches is None:
                warnings.warn(
                    f"{type(self.retrieval_loss).__name__} takes all items for equally popular, as "
                    f"`fit` cannot count the targets of a {type(given.get('x')).__name__}: call "
                    f"`fit_counts` before",
                    stacklevel=2,
                )
            else:
                self.fit_counts(targets_of(batches, self.num_items))
        return super().fit(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """See `SessionScorer`."""
        loss = keras.saving.serialize_keras_object(self.retrieval_loss)
        return {**super().get_config(), "loss": loss, "seed": self.seed}
