"""Top-k retrieval of candidates, by exact or approximate search."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_recommenders.layers.factorized_top_k import ScaNN

from hln_tf.common.errors import HlnError
from hln_tf.layers.catalogue_scores import catalogue_top_k
from hln_tf.models.base import SessionScorer
from hln_tf.models.graphs import compiled
from hln_tf.models.popularity import popularity_scores
from hln_tf.retrieval.settings import ServingSettings

# The score of an entry without an item: the lowest float32, since JSON has no infinity.
LOWEST = tf.float32.min

INDICES = tf.TensorSpec([None, None], tf.int32)
K = tf.TensorSpec([], tf.int32)

# Takes query embeddings, float32 [batch, d], and k, int32 []; returns scores, float32 [batch, k],
# highest first, and positions among the candidates, int32 [batch, k]. If an approximate index
# finds fewer than k, the lowest score fills the rest.
Index = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Ranked(NamedTuple):
    """The candidates that score highest.

    Attributes:
      scores: float32 [batch, k], highest first.
      positions: int32 [batch, k], their positions among the candidates.
      is_fallback: bool [batch], whether they are the most popular ones instead
        of the model's: of a session without clicks, or for which all items score
        the same.
    """

    scores: tf.Tensor
    positions: tf.Tensor
    is_fallback: tf.Tensor


class CandidateRanker(tf.Module):
    """Ranks the candidates for sessions of item indices.

    The query embeddings of a model search an index of the candidates'
    embeddings; of a model whose scores are no dot products of embeddings the scores of
    all items are ranked. The queries of preference groups search the index too.

    Args:
      model: A trained model.
      rows: int [candidates], the candidates' rows in the item table, from 0, in
        ascending order; None for all items.
      settings: The kind of the index, and the largest k, for which an approximate
        index is tuned.

    Attributes:
      num_candidates: Number of candidates.
      encode: Function of item indices, int32 [batch, time], to query embeddings,
        float32 [batch, d]; None if the model has none whose products are the scores.
      embeddings: The candidates' embeddings, float32 [candidates, d], or None.

    Raises:
      HlnError: The index does not support this model, or is not installed.
    """

    def __init__(
        self, model: SessionScorer, rows: np.ndarray | None, settings: ServingSettings
    ) -> None:
        super().__init__()
        self._scores = model.scores
        # With an input signature it is traced once, not for each signature of an export.
        self.encode: Any = model.encode
        if model.encode is not None:
            self.encode = compiled(model.encode, [INDICES], model)
        self._rows, self.embeddings = None, None
        if rows is not None:
            self._rows = tf.Variable(rows.astype(np.int64), trainable=False, name="rows")
        popularity = popularity_scores(model.item_counts).numpy()
        popularity = popularity if rows is None else popularity[rows]
        self.num_candidates = len(popularity)
        order = np.argsort(-popularity, kind="stable").astype(np.int32)
        self._popular = tf.Variable(order, trainable=False, name="popular")
        self._popularity = tf.Variable(popularity[order], trainable=False, name="popularity")
        if self.encode is None and settings.index != "exact":
            raise HlnError(
                f"`index` {settings.index} searches by query embeddings, which "
                f"{type(model).__name__} has not: use `index` exact"
            )
        if self.encode is not None or model.preferences is not None:
            self.embeddings = model.item_embeddings()
            if rows is not None:
                self.embeddings = tf.gather(self.embeddings, rows)
            if not isinstance(self.embeddings, tf.Variable):
                self.embeddings = tf.Variable(
                    self.embeddings, trainable=False, name="item_embeddings"
                )
            self._index: Index = (
                ExactIndex(self.embeddings)
                if settings.index == "exact"
                else ScannIndex(self.embeddings, max(settings.k, settings.k_max))
            )

    def rank(self, items: tf.Tensor, k: tf.Tensor) -> Ranked:
        """Rank candidates.

        Args:
          items: int32 [batch, time], item indices, padded with 0; time is at least 1.
          k: int32 [], their number; all candidates if there are fewer.
        """
        k = tf.minimum(k, self.num_candidates)
        if self.encode is None:
            all_scores = self._scores(items)
            is_flat = tf.reduce_max(all_scores, axis=1) == tf.reduce_min(all_scores, axis=1)
            if self._rows is not None:
                all_scores = tf.gather(all_scores, self._rows, axis=1)
            scores, positions = tf.math.top_k(all_scores, k)
        else:
            query = self.encode(items)
            is_flat = is_zero(query)
            scores, positions = self._index(query, k)
        is_fallback = is_flat | ~has_clicks(items)
        scores = tf.where(is_fallback[:, None], self._popularity[:k], scores)
        positions = tf.where(is_fallback[:, None], self._popular[:k], positions)
        return Ranked(scores, positions, is_fallback)

    def rank_unseen(self, items: tf.Tensor, k: tf.Tensor, seen: tf.RaggedTensor) -> Ranked:
        """Rank the candidates that a session has not seen.

        Args:
          items: As for `rank`.
          k: As for `rank`.
          seen: int32 [batch, (seen)], indices of the items to exclude.

        Returns:
          The ranking; if fewer than k candidates remain, the lowest score fills
          the rest.
        """
        batch, size = tf.shape(items, tf.int64)[0], tf.cast(self.num_candidates, tf.int64)
        rows, positions = seen.value_rowids(), tf.cast(seen.values, tf.int64) - 1
        if self._rows is not None:
            at = tf.searchsorted(self._rows, positions)
            is_candidate = _at(self._rows, at) == positions
            rows, positions = tf.boolean_mask(rows, is_candidate), tf.boolean_mask(at, is_candidate)
            positions = tf.cast(positions, tf.int64)
        # One sorted key for each pair of session and item: membership is a binary search.
        keys = tf.sort(tf.unique(rows * size + positions).y)
        most = tf.reduce_max(tf.math.bincount(tf.cast(keys // size, tf.int32), minlength=1))
        ranked = self.rank(items, k + most)
        sought = tf.range(batch)[:, None] * size + tf.cast(ranked.positions, tf.int64)
        found = tf.searchsorted(keys, tf.reshape(sought, [-1]))
        is_seen = tf.reshape(_at(keys, found), tf.shape(sought)) == sought
        scores = tf.where(is_seen, LOWEST, ranked.scores)
        # A stable sort moves seen items to the end and preserves the order of the others.
        order = tf.argsort(tf.cast(is_seen, tf.int32), stable=True)[:, :k]
        return Ranked(
            tf.gather(scores, order, batch_dims=1),
            tf.gather(ranked.positions, order, batch_dims=1),
            ranked.is_fallback,
        )

    def nearest(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the k candidates nearest to query embeddings, float32 [batch, d]; see `Index`."""
        return self._index(queries, tf.minimum(k, self.num_candidates))


def has_clicks(items: tf.Tensor) -> tf.Tensor:
    """Mark the sessions with a click, bool [batch]; items are int32 [batch, time]."""
    return tf.reduce_any(items > 0, axis=1)


def is_zero(queries: tf.Tensor) -> tf.Tensor:
    """Mark query embeddings that are zero, bool [...]; with them all items score the same."""
    return tf.reduce_all(queries == 0, axis=-1)


def _at(sorted_values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Gather values at positions from `tf.searchsorted`; -1 for a position past the end."""
    return tf.gather(tf.pad(sorted_values, [[0, 1]], constant_values=-1), positions)


class ExactIndex(tf.Module):
    """Dot products with all candidates, in chunks if they are many.

    Args:
      embeddings: float32 [candidates, d].
    """

    def __init__(self, embeddings: tf.Variable) -> None:
        super().__init__()
        self._embeddings = embeddings
        queries = tf.TensorSpec([None, embeddings.shape[1]], embeddings.dtype)
        self._search = compiled(self._find, [queries, K], self)

    def __call__(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Search the index; see `Index`."""
        return self._search(queries, k)

    def _find(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return catalogue_top_k(queries, self._embeddings, k)


class ScannIndex(tf.Module):
    """TFRS's `ScaNN`, which searches the partitions of the candidates nearest to the query.

    There are about sqrt(candidates) partitions, of which a tenth, at least 10,
    are searched; the best of their candidates are rescored exactly.

    Args:
      embeddings: float32 [candidates, d].
      k: The largest usual number of results.

    Raises:
      HlnError: There are too few candidates, or the package scann is not installed.
    """

    MINIMUM = 16  # clusters in a block of its code book

    def __init__(self, embeddings: tf.Variable, k: int) -> None:
        super().__init__()
        candidates = embeddings.shape[0]
        if candidates < self.MINIMUM:
            raise HlnError(
                f"`index` scann needs at least {self.MINIMUM} candidates, there are {candidates}: "
                f"use `index` exact"
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
                f"`index` scann needs the package scann for TensorFlow {tf.__version__}, which is "
                f"not installed: pip install 'hln-tf[scann]', or use `index` exact"
            ) from None
        self._layer = layer.index(tf.convert_to_tensor(embeddings))

    def __call__(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Search the index; see `Index`."""
        scores, positions = self._layer(queries, k)
        # The searched partitions may contain fewer than k candidates.
        is_result = tf.math.is_finite(scores)
        missing = [[0, 0], [0, k - tf.shape(scores)[1]]]
        scores = tf.pad(tf.where(is_result, scores, LOWEST), missing, constant_values=LOWEST)
        return scores, tf.pad(tf.where(is_result, positions, 0), missing)
