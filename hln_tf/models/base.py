"""What all models share: a session in, a score for every item out."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.layers.catalogue_scores import target_ranks
from hln_tf.layers.choices import SCORE_MEGABYTES
from hln_tf.layers.sharding import Seed, draw_rows, replica_part
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.models.settings import EncoderSettings
from hln_tf.tasks.full_softmax import FullSoftmaxRetrieval
from hln_tf.tasks.pairwise import PAIRWISE, PairwiseRetrieval
from hln_tf.tasks.sampled_softmax import SampledSoftmaxRetrieval

Batch = dict[str, Any]

# Sets the draws of the item vectors' dropout apart from others with the same seed.
ITEM_DROPOUT = 0x44524F50

# Vectors below this length are not drawn out to length 1.
SHORTEST = 0.1


class Preferences(NamedTuple):
    """The L preference groups that a model finds in sessions.

    Attributes:
      queries: float32 [batch, L, d], what each group keeps, as a query; zero
        where it keeps nothing.
      retention: float32 [batch, L, time], probability that each group keeps
        each click, 0 at padding.
    """

    queries: tf.Tensor
    retention: tf.Tensor


class SessionScorer(tfrs.Model):
    """Scores sessions against all items.

    Sessions are int32 [batch, time], item numbers from 1, padded with 0
    anywhere; column i - 1 of the scores belongs to item i.

    What else a model can do it says by defining `encode` or `preferences`; its
    export has the signatures `embed` and `explain` accordingly.

    Args:
      num_items: Size of the catalogue.
      settings: The model's own settings.

    Attributes:
      encode: Query vectors of sessions, float32 [batch, d]; the scores are their
        dot products with the rows of `X`. See `SessionEncoder`.
      preferences: The `Preferences` of sessions, their queries in the same space.
      workdir: Path of the run whose trained weights it holds, where it was
        loaded from one.
    """

    encode: Callable[..., tf.Tensor] | None = None
    preferences: Callable[[tf.Tensor], Preferences] | None = None
    workdir: str | None = None

    def __init__(self, num_items: int, settings: Any) -> None:
        super().__init__()
        self.num_items = num_items
        self.settings = settings
        self.item_counts = tf.Variable(
            tf.zeros([num_items], tf.int64), trainable=False, name="item_counts"
        )
        self.ranking = FullCatalogueRanking()

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """Scores of all items for each session, float32 [batch, items]."""
        raise NotImplementedError(f"{type(self).__name__} must define `scores`")

    def call(self, items: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The scores, as Keras calls them."""
        return self.scores(items)

    def fit_counts(self, sessions: Sessions) -> None:
        """Counts the clicks of each item, for popularity.

        Models that learn by counting alone override this and count more.
        """
        counts = np.bincount(sessions.items, minlength=self.num_items + 1)[1:]
        self.item_counts.assign(counts)

    def test_step(self, batch: Batch) -> dict[str, Any]:
        """Ranks a batch's targets among all items."""
        self.ranking.update_from_ranks(self.target_ranks(batch))
        return {}

    def target_ranks(self, batch: Batch) -> tf.Tensor:
        """The rank of each prefix's target among all items, from 1, int32 [batch]."""
        return target_ranks(self.scores(batch["items"]), batch["target"] - 1)

    @functools.cached_property
    def compiled_test_step(self) -> Callable[[tf.Tensor, tf.Tensor], Any]:
        """`test_step` of items and targets as one graph for all lengths, traced once.

        The replicas share the work, and each has all ranks then.
        """
        strategy = self.distribute_strategy

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        )
        def test_step(items: tf.Tensor, target: tf.Tensor) -> None:
            parts = strategy.run(
                lambda batch: self.target_ranks(replica_part(batch)[0]),
                args=({"items": items, "target": target},),
            )
            ranks = strategy.gather(parts, axis=0)[: tf.shape(target)[0]]
            self.ranking.update_from_ranks(ranks)

        return test_step


class SessionEncoder(SessionScorer):
    """A trained model: encodes a session as a query vector in item space.

    The score of an item is the dot product of its vector with the query
    (eq. 7). Subclasses define `encode_vectors` alone; the item table, the softmax
    over the catalogue and its metrics stand here.

    Args:
      num_items: Size of the catalogue.
      settings: The model's own settings.
      loss: A loss of `FullSoftmaxRetrieval` or `PairwiseRetrieval`, or `sampled`
        for that of `SampledSoftmaxRetrieval`.
      num_negatives: Negatives drawn in a step, where the loss draws any.
      sampling_power: How much popularity counts in drawing them.
      score_penalty: Weight of the squares of negatives' scores in `bpr_max`.
      score_megabytes: What scores may take at a time when targets are ranked.
      precision: Of the full softmax's products, see `FullSoftmaxRetrieval`.
      initializer: Of the item vectors X; uniform on +-1/sqrt(d) by default.

    Attributes:
      item_tables: References of the weights with a row for each item, X and those
        of `add_item_table`.
    """

    settings: EncoderSettings

    def __init__(
        self,
        num_items: int,
        settings: EncoderSettings,
        loss: str = "softmax",
        *,
        num_negatives: int = 1,
        sampling_power: float = 0.0,
        score_penalty: float = 0.0,
        score_megabytes: int = SCORE_MEGABYTES,
        precision: str = "float32",
        initializer: Any = None,
    ) -> None:
        super().__init__(num_items, settings)
        # Keras would track a list, and put what it holds before the other weights.
        self.item_tables: frozenset[Any] = frozenset()
        self.X = self.add_item_table("X", settings.embedding_dim, initializer)
        if settings.normalize:
            self.scale = self.add_weight(
                name="scale",
                shape=(),
                initializer=keras.initializers.Constant(settings.scale),
            )
        self.ranking = FullCatalogueRanking(self.candidates, megabytes=score_megabytes)
        self.task: FullSoftmaxRetrieval
        drawn = (num_items, num_negatives, sampling_power)
        if loss == "sampled":
            self.task = SampledSoftmaxRetrieval(*drawn, metrics=[self.ranking])
        elif loss in PAIRWISE:
            self.task = PairwiseRetrieval(*drawn, loss, score_penalty, metrics=[self.ranking])
        else:
            self.task = FullSoftmaxRetrieval(loss, precision, metrics=[self.ranking])

    def add_item_table(self, name: str, width: int, initializer: Any = None) -> tf.Variable:
        """Adds a weight with a row for each item, float32 [items, width].

        Args:
          name: Its name.
          width: Entries in a row.
          initializer: Uniform on +-1/sqrt(width) by default.
        """
        bound = width**-0.5
        table = self.add_weight(
            name=name,
            shape=(self.num_items, width),
            initializer=initializer or keras.initializers.RandomUniform(-bound, bound),
        )
        self.item_tables |= {table.ref()}
        return table

    def fit_counts(self, sessions: Sessions) -> None:
        """Counts the clicks of each item, for popularity and for drawing negatives."""
        super().fit_counts(sessions)
        if isinstance(self.task, SampledSoftmaxRetrieval):
            self.task.fit_counts(self.item_counts.numpy())

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """Encodes sessions whose item vectors are at hand.

        Args:
          items: int32 [batch, time], padded with 0.
          x: float32 [batch, time, d], the items' vectors, 0 at padding.
          training: Whether to draw noise.
          seed: On which all noise depends, see `encode`.

        Returns:
          Vectors in item space, float32 [batch, d].
        """
        raise NotImplementedError(f"{type(self).__name__} must define `encode_vectors`")

    def encode(
        self, items: tf.Tensor, training: bool = False, seed: Seed | None = None
    ) -> tf.Tensor:
        """Encodes sessions.

        Args:
          items: int32 [batch, time], padded with 0.
          training: Whether to draw noise.
          seed: int32 [2], on which all noise depends, zeros by default; a
            `ReplicaSeed` where these are a part of the batch, see `draw_rows`.

        Returns:
          Query vectors, float32 [batch, d].
        """
        x = self.lookup(self.candidates(), items)
        return self.to_query(self.encode_vectors(items, x, training, seed))

    def candidates(self) -> tf.Variable | tf.Tensor:
        """The item vectors that queries meet, float32 [items, d]."""
        return tf.math.l2_normalize(self.X, axis=1) if self.settings.normalize else self.X

    def to_query(self, vectors: tf.Tensor) -> tf.Tensor:
        """Queries from vectors in item space, both float32 [..., d].

        Normalised queries have the length `scale`, less for vectors below
        `SHORTEST`: that of a session of which nothing is kept is 0, and its
        gradient would be without bound.
        """
        if self.settings.normalize:
            return self.scale * tf.math.l2_normalize(vectors, axis=-1, epsilon=SHORTEST**2)
        return vectors

    def lookup(self, table: tf.Variable | tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Rows of a table [items, d] for sessions, [batch, time, d], zero at padding."""
        return mask_padding(tf.gather(table, item_rows(items)), items)

    def drop(self, x: tf.Tensor, rate: float, seed: Seed | None, place: int) -> tf.Tensor:
        """Dropout: zeroes a share of the entries and scales the others up.

        Args:
          x: float [batch, ...].
          rate: The share.
          seed: On which the draw depends, see `encode`.
          place: Sets the draw apart from others with the same seed.
        """
        if rate == 0:
            return x
        if seed is None:
            raise ValueError("`seed` is None: dropout must depend on the step")

        def draw(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_uniform(
                shape, tf.random.experimental.stateless_fold_in(seed, place)
            )

        kept = draw_rows(draw, tf.shape(x), seed, axis=0) >= rate
        return tf.where(kept, x / (1 - rate), 0)

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        return tf.matmul(self.encode(items), self.candidates(), transpose_b=True)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The task's loss for a batch of prefixes.

        Args:
          inputs: `items` int32 [batch, time], `target` int32 [batch], item
            numbers from 1, `seed` int32 [2] in training, and `weight` float32
            [batch] where not all rows count alike; see `replica_part`.
          training: Whether to draw noise; metrics are updated where not.
        """
        items, seed = inputs["items"], inputs.get("seed")
        candidates = self.candidates()
        if isinstance(self.task, SampledSoftmaxRetrieval):
            x = self.lookup(candidates, items)
        else:
            rows, candidates = gather_with_shared_gradient(candidates, item_rows(items))
            x = mask_padding(rows, items)
        if training:
            x = self.drop(x, self.settings.dropout, seed, ITEM_DROPOUT)
        query = self.to_query(self.encode_vectors(items, x, training, seed))
        return self.task(
            query,
            candidates,
            target=inputs["target"] - 1,
            sample_weight=inputs.get("weight"),
            compute_metrics=not training,
            seed=seed if training else None,
        )

    def after_step(self, items: tf.Tensor) -> None:
        """Called after each optimiser step of training, in its graph; by default does nothing.

        What a model keeps beside trained weights it changes here, and nowhere
        else: a loss may be computed more often than a step is made. The call
        is outside the replicas, with the whole batch, so all of them are given
        the same values.

        Args:
          items: int32 [batch, time], the step's sessions, padded with 0.
        """
        del items  # AutoGraph asks for a body

    def target_ranks(self, batch: Batch) -> tf.Tensor:
        """See `SessionScorer`; a large catalogue is ranked in chunks."""
        return self.ranking.ranks(self.encode(batch["items"]), batch["target"] - 1)


def item_rows(items: tf.Tensor) -> tf.Tensor:
    """Rows of the item table for item numbers from 1.

    What padding reads does not count. It is a row that is read anyway: an optimiser
    moves the rows that a sparse gradient names, and no other item may be among them.
    """
    read_anyway = tf.maximum(tf.reduce_max(items), 1)
    return tf.where(items > 0, items, read_anyway) - 1


def mask_padding(x: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Vectors [batch, time, d], made zero where `items` [batch, time] is padding."""
    return x * tf.cast(items > 0, x.dtype)[..., None]


def gather_with_shared_gradient(
    table: tf.Variable | tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of a table and the table, whose gradients meet in one buffer.

    Read apart, the dense gradient of the one reader and the sparse one of the
    other are added in a third table of their own.

    Args:
      table: float [items, d].
      rows: int [...].

    Returns:
      float [..., d] and the table.
    """

    @tf.custom_gradient
    def read(table: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        def gradient(d_rows: tf.Tensor, d_table: tf.Tensor) -> tf.Tensor:
            return tf.tensor_scatter_nd_add(d_table, rows[..., None], d_rows)

        return (tf.gather(table, rows), tf.identity(table)), gradient

    return read(tf.convert_to_tensor(table))
