"""Search for the candidates that score highest, exact or approximate."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_recommenders.layers.factorized_top_k import ScaNN

from hln_tf.common.errors import HlnError
from hln_tf.layers.catalogue_scores import catalogue_top_k
from hln_tf.models.base import SessionScorer
from hln_tf.models.popularity import popularity_scores
from hln_tf.retrieval.settings import ServingSettings

# The score where there is no item: the lowest number that JSON can hold.
LOWEST = tf.float32.min

NUMBERS = tf.TensorSpec([None, None], tf.int32)

# Takes queries, float32 [batch, d], and k, int32 []; returns scores, float32 [batch, k], highest
# first, and positions among the candidates, int32 [batch, k]. An approximate one may find fewer
# than k, which then have the lowest score.
Index = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Ranked(NamedTuple):
    """The candidates that score highest.

    Attributes:
      scores: float32 [batch, k], highest first.
      positions: int32 [batch, k], which candidates they are.
      is_fallback: bool [batch], whether they are the most popular ones in place
        of the model's, since the session tells the model nothing.
    """

    scores: tf.Tensor
    positions: tf.Tensor
    is_fallback: tf.Tensor


class Retrieval(tf.Module):
    """Ranks the candidates for sessions of item numbers.

    A model with query vectors searches an index of the candidates' vectors;
    another scores all items, and the candidates' columns are ranked.

    Args:
      model: A trained model.
      rows: int [candidates], indices of the items that may be recommended, in
        rising order; None for all.
      settings: Kind of the index, and how many items are asked for, to which an
        approximate index is tuned.

    Attributes:
      num_candidates: How many there are.
      encode: Query vectors, float32 [batch, d], of item numbers, int32 [batch, time].
      vectors: float32 [candidates, d]. Both are None where the model has none.

    Raises:
      HlnError: There is no such index for this model, or none here.
    """

    def __init__(
        self, model: SessionScorer, rows: np.ndarray | None, settings: ServingSettings
    ) -> None:
        super().__init__()
        self._scores = model.scores
        # Traced once, and not again for each signature.
        self.encode: Any = model.encode
        if model.encode is not None:
            self.encode = tf.function(model.encode, input_signature=[NUMBERS])
        self._rows, self.vectors = None, None
        if rows is not None:
            self._rows = tf.Variable(rows.astype(np.int64), trainable=False, name="rows")
        popularity = popularity_scores(model.item_counts).numpy()
        popularity = popularity if rows is None else popularity[rows]
        self.num_candidates = len(popularity)
        order = np.argsort(-popularity, kind="stable").astype(np.int32)
        self._popular = tf.Variable(order, trainable=False, name="popular")
        self._popularity = tf.Variable(popularity[order], trainable=False, name="popularity")
        if self.encode is not None:
            self.vectors = model.candidates()
            if rows is not None:
                self.vectors = tf.gather(self.vectors, rows)
            if not isinstance(self.vectors, tf.Variable):
                self.vectors = tf.Variable(self.vectors, trainable=False, name="item_vectors")
            self._index: Index = (
                ExactIndex(self.vectors)
                if settings.index == "exact"
                else ScannIndex(self.vectors, max(settings.k, settings.k_max))
            )
        elif settings.index != "exact":
            raise HlnError(
                f"--index {settings.index} searches by query vectors, which "
                f"{type(model).__name__} has not: use --index exact"
            )

    def rank(self, items: tf.Tensor, k: tf.Tensor) -> Ranked:
        """Ranks candidates.

        Args:
          items: int32 [batch, time], item numbers, padded with 0; time is at least 1.
          k: int32 [], how many; all where there are fewer.
        """
        k = tf.minimum(k, self.num_candidates)
        if self.encode is None:
            all_scores = self._scores(items)
            silent = tf.reduce_max(all_scores, axis=1) == tf.reduce_min(all_scores, axis=1)
            if self._rows is not None:
                all_scores = tf.gather(all_scores, self._rows, axis=1)
            scores, positions = tf.math.top_k(all_scores, k)
        else:
            query = self.encode(items)
            silent = is_zero(query)
            scores, positions = self._index(query, k)
        is_fallback = silent | ~has_clicks(items)
        scores = tf.where(is_fallback[:, None], self._popularity[:k], scores)
        positions = tf.where(is_fallback[:, None], self._popular[:k], positions)
        return Ranked(scores, positions, is_fallback)

    def rank_unseen(self, items: tf.Tensor, k: tf.Tensor, seen: tf.RaggedTensor) -> Ranked:
        """Ranks the candidates that a session has not seen.

        Args:
          items: As for `rank`.
          k: As for `rank`.
          seen: int32 [batch, (seen)], numbers of the items to leave out.

        Returns:
          The ranking; where fewer than k are left, the lowest score ends it.
        """
        batch, size = tf.shape(items, tf.int64)[0], tf.cast(self.num_candidates, tf.int64)
        rows, positions = seen.value_rowids(), tf.cast(seen.values, tf.int64) - 1
        if self._rows is not None:
            at = tf.searchsorted(self._rows, positions)
            is_candidate = _at(self._rows, at) == positions
            rows, positions = tf.boolean_mask(rows, is_candidate), tf.boolean_mask(at, is_candidate)
            positions = tf.cast(positions, tf.int64)
        # One sorted key for each pair of session and item, so that a search tells membership.
        keys = tf.sort(tf.unique(rows * size + positions).y)
        most = tf.reduce_max(tf.math.bincount(tf.cast(keys // size, tf.int32), minlength=1))
        ranked = self.rank(items, k + most)
        sought = tf.range(batch)[:, None] * size + tf.cast(ranked.positions, tf.int64)
        found = tf.searchsorted(keys, tf.reshape(sought, [-1]))
        is_seen = tf.reshape(_at(keys, found), tf.shape(sought)) == sought
        scores = tf.where(is_seen, LOWEST, ranked.scores)
        # A stable order puts those that are seen last and leaves the others as they are.
        order = tf.argsort(tf.cast(is_seen, tf.int32), stable=True)[:, :k]
        return Ranked(
            tf.gather(scores, order, batch_dims=1),
            tf.gather(ranked.positions, order, batch_dims=1),
            ranked.is_fallback,
        )

    def nearest(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The k candidates nearest to queries, float32 [batch, d]; see `Index`."""
        return self._index(queries, tf.minimum(k, self.num_candidates))


def has_clicks(items: tf.Tensor) -> tf.Tensor:
    """Whether a session has a click, bool [batch]; items int32 [batch, time], padded with 0."""
    return tf.reduce_any(items > 0, axis=1)


def is_zero(queries: tf.Tensor) -> tf.Tensor:
    """Whether a query says nothing, bool [...]: it scores all items alike."""
    return tf.reduce_all(queries == 0, axis=-1)


def _at(sorted_values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Values at positions that `tf.searchsorted` found; -1 where that is past the end."""
    return tf.gather(tf.pad(sorted_values, [[0, 1]], constant_values=-1), positions)


class ExactIndex(tf.Module):
    """Dot products with all candidates, in chunks where they are many.

    Args:
      vectors: float32 [candidates, d].
    """

    def __init__(self, vectors: tf.Variable) -> None:
        super().__init__()
        self._vectors = vectors

    def __call__(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Index`."""
        return catalogue_top_k(queries, self._vectors, k)


class ScannIndex(tf.Module):
    """TFRS's `ScaNN`, which searches the parts of the catalogue nearest to the query.

    There are about sqrt(candidates) parts, of which a tenth, at least 10, are
    searched; the best of what they hold is scored again exactly.

    Args:
      vectors: float32 [candidates, d].
      k: Most results that are usually asked for.

    Raises:
      HlnError: There are too few candidates, or no scann package here.
    """

    MINIMUM = 16  # clusters of a block of its code book

    def __init__(self, vectors: tf.Variable, k: int) -> None:
        super().__init__()
        candidates = vectors.shape[0]
        if candidates < self.MINIMUM:
            raise HlnError(
                f"--index scann needs at least {self.MINIMUM} candidates, there are {candidates}: "
                f"use --index exact"
            )
        leaves = math.isqrt(candidates)
        try:
            layer = ScaNN(
                k=min(k, candidates),
                num_leaves=leaves,
                num_leaves_to_search=min(leaves, max(10, leaves // 10)),
                num_reordering_candidates=min(candidates, max(10 * k, 1000)),
            )
        except ImportError:
            raise HlnError(
                f"--index scann needs the package scann for TensorFlow {tf.__version__}, which is "
                f"not installed: pip install 'hln-tf[scann]', or use --index exact"
            ) from None
        self._layer = layer.index(tf.convert_to_tensor(vectors))

    def __call__(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Index`."""
        scores, positions = self._layer(queries, k)
        # The parts that were searched may hold fewer than k.
        is_result = tf.math.is_finite(scores)
        missing = [[0, 0], [0, k - tf.shape(scores)[1]]]
        scores = tf.pad(tf.where(is_result, scores, LOWEST), missing, constant_values=LOWEST)
        return scores, tf.pad(tf.where(is_result, positions, 0), missing)
