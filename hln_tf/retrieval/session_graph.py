"""The graph from item ids to recommendations: the same for Python and for serving."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hln_tf.models.base import SessionScorer
from hln_tf.models.graphs import compiled
from hln_tf.retrieval.index import LOWEST, CandidateRanker, K, has_clicks, is_zero
from hln_tf.retrieval.settings import ServingSettings
from hln_tf.retrieval.vocabulary_table import VocabularyTable

ITEMS = tf.RaggedTensorSpec([None, None], tf.string, ragged_rank=1)


class Top(NamedTuple):
    """Items that score highest.

    Attributes:
      item_ids: string [batch, k].
      scores: float32 [batch, k], highest first.
      is_fallback: bool [batch], whether they are the most popular ones instead
        of the model's.
    """

    item_ids: tf.Tensor
    scores: tf.Tensor
    is_fallback: tf.Tensor


class Groups(NamedTuple):
    """The L preference groups of sessions.

    Attributes:
      clicks: string [batch, max_length], item ids of the clicks that the model
        uses, padded with "".
      retention: float32 [batch, L, max_length], retention of each click in each
        group, 0 at padding.
      group_item_ids: string [batch, L, k], ids of the items nearest to each
        group's query embedding; "" if the group retains no click.
      group_scores: float32 [batch, L, k], highest first; the lowest float32 if
        the group retains no click.
      is_fallback: bool [batch], whether no group retains any click, so that the
        session gets the most popular items.
    """

    clicks: tf.Tensor
    retention: tf.Tensor
    group_item_ids: tf.Tensor
    group_scores: tf.Tensor
    is_fallback: tf.Tensor


class SessionGraph(tf.Module):
    """Recommends items for sessions of item ids, string [batch, (time)], oldest first.

    Unknown items of a session are skipped. A session with no known item gets the
    most popular items, and so does one for which all items score the same, such
    as when no preference group retains a click. Of long sessions the last clicks
    are used.

    Args:
      model: A trained model, which may define more than scores, see
        `SessionScorer`.
      vocabulary: Item ids in order of their indices.
      max_length: Clicks of a session that are used.
      separator: Joins the item ids of a session that is written as one string.
      candidates: int [candidates], the candidates' positions in the vocabulary,
        from 0, in ascending order; None for all items.
      settings: The number of items that are returned, and the search for them.

    Attributes:
      item_ids: string [candidates], ids of the candidates. It and `item_embeddings`
        are in the SavedModel too, for an index elsewhere.
      item_embeddings: float32 [candidates, d], their embeddings; None if the model
        has none.
      has_embeddings: Whether the model has embeddings, so that there are `queries`.
      has_groups: Whether the model has preference groups, so that there are `groups`.
      top_k: Function of item ids, string [batch, (time)], and k, int32 [], to the
        `Top` k items that score highest; all if there are fewer.

    Raises:
      HlnError: The index does not support this model, or is not installed.
    """

    def __init__(
        self,
        model: SessionScorer,
        vocabulary: Sequence[str],
        max_length: int,
        separator: str,
        candidates: np.ndarray | None,
        settings: ServingSettings,
    ) -> None:
        super().__init__()
        self.max_length, self.separator, self.settings = max_length, separator, settings
        ids = tf.constant(vocabulary)
        self._vocabulary, self._item_counts = ids, model.item_counts
        self._index_of = VocabularyTable(vocabulary)
        # The variables are tracked, for a SavedModel; the Keras model is not: saving it
        # would trace every call signature it has ever seen.
        self._weights = model.variables
        self._preferences: Any = model.preferences
        self.has_embeddings = model.encode is not None
        self.has_groups = self._preferences is not None
        self._ranker = CandidateRanker(model, candidates, settings)
        self.num_candidates = self._ranker.num_candidates
        ids = ids if candidates is None else tf.gather(ids, candidates)
        self.item_ids = tf.Variable(ids, trainable=False, name="item_ids")
        self.item_embeddings = self._ranker.embeddings
        # With input signatures they are traced once, not for each signature of an export.
        self.top_k = compiled(self._rank, [ITEMS, K], model)
        self._known = compiled(self._select_known, [ITEMS], model)

    def popular_items(self) -> list[str]:
        """List the ids of all items that the model knows, most popular first."""
        order = np.argsort(-self._item_counts.numpy(), kind="stable")
        return [item.decode() for item in self._vocabulary.numpy()[order]]

    def split(self, sessions: tf.Tensor) -> tf.RaggedTensor:
        """Split sessions, string [batch], as `split_session` does; empty ids are unknown items."""
        return tf.strings.split(sessions, sep=self.separator)

    def _rank(self, items: tf.RaggedTensor, k: tf.Tensor) -> Top:
        """Compute `top_k`."""
        ranked = self._ranker.rank(self._used(self._known(items)[1]), k)
        return self._top(*ranked)

    def top_k_each(self, items: tf.RaggedTensor, k: tf.Tensor, exclude_seen: tf.Tensor) -> Top:
        """Recommend items for sessions, each with its own k.

        Args:
          items: Item ids, string [batch, (time)].
          k: int32 [batch], from 1 to k_max of the settings.
          exclude_seen: bool [batch], whether to exclude the session's own items, of
            all its clicks.

        Returns:
          min(k_max, candidates) columns; those past a row's k, and those for
          which no candidate remains, have the id "" and the lowest float32.

        Raises:
          InvalidArgumentError: A k is out of bounds, or the inputs' sizes differ.
        """
        k_max = self.settings.k_max
        is_allowed = (k >= 1) & (k <= k_max)
        out_of_bounds = [f"k is out of bounds, expected 1 to {k_max}, received", k[~is_allowed]]
        sizes = [items.nrows(tf.int32), tf.size(k), tf.size(exclude_seen)]
        unequal = ["expected one k and one exclude_seen for each session, received sizes", *sizes]
        checks = [
            tf.debugging.Assert(tf.reduce_all(is_allowed), out_of_bounds),
            tf.debugging.Assert(tf.reduce_all(tf.equal(sizes, sizes[0])), unequal),
        ]
        with tf.control_dependencies(checks):
            _, indices = self._known(items)
        seen = masked(indices, tf.gather(exclude_seen, indices.value_rowids()))
        width = min(k_max, self.num_candidates)
        scores, positions, is_fallback = self._ranker.rank_unseen(self._used(indices), width, seen)
        scores = tf.where(tf.range(width) < k[:, None], scores, LOWEST)
        return self._top(scores, positions, is_fallback)

    def queries(self, items: tf.RaggedTensor) -> tf.Tensor:
        """Compute query embeddings, zero without a known click.

        Args:
          items: Item ids, string [batch, (time)].

        Returns:
          float32 [batch, d].
        """
        used = self._used(self._known(items)[1])
        return tf.where(has_clicks(used)[:, None], self._ranker.encode(used), 0.0)

    def groups(self, items: tf.RaggedTensor, k: tf.Tensor) -> Groups:
        """Compute the preference groups of sessions, and the items nearest to each.

        Args:
          items: Item ids, string [batch, (time)].
          k: int32 [], items for each group.
        """
        ids, indices = self._known(items)
        clicks = ids[:, -self.max_length :].to_tensor(shape=[None, self.max_length])
        used = self._used(indices)
        queries, retention = self._preferences(used)
        missing = self.max_length - tf.shape(retention)[2]
        retention = tf.pad(retention, [[0, 0], [0, 0], [0, missing]])
        num_groups, d = queries.shape[1:]
        found = self._ranker.nearest(tf.reshape(queries, [-1, d]), k)
        scores, positions = (tf.reshape(f, [-1, num_groups, tf.shape(f)[1]]) for f in found)
        is_empty = is_zero(queries) | ~has_clicks(used)[:, None]
        scores = tf.where(is_empty[..., None], LOWEST, scores)
        return Groups(
            clicks,
            tf.ensure_shape(retention, [None, num_groups, self.max_length]),
            self._ids(scores, positions),
            scores,
            tf.reduce_all(is_empty, axis=1),
        )

    def _top(self, scores: tf.Tensor, positions: tf.Tensor, is_fallback: tf.Tensor) -> Top:
        return Top(self._ids(scores, positions), scores, is_fallback)

    def _ids(self, scores: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Look up the ids of candidates; "" for the lowest score, which has no item."""
        return tf.where(scores > LOWEST, tf.gather(self.item_ids, positions), "")

    def _select_known(self, items: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Select the ids and indices of the known items, both [batch, (known)]."""
        indices = self._index_of(items.values)
        known = masked(items.with_values(indices), indices > 0)
        return masked(items, indices > 0), known

    def _used(self, indices: tf.RaggedTensor) -> tf.Tensor:
        """Truncate sessions to their last clicks, int32 [batch, time], padded with 0."""
        used = indices[:, -self.max_length :].to_tensor()
        # At least one column, since models require a time step.
        return tf.pad(used, [[0, 0], [0, tf.cast(tf.shape(used)[1] == 0, tf.int32)]])


def masked(ragged: tf.RaggedTensor, mask: tf.Tensor) -> tf.RaggedTensor:
    """Select the values for which `mask`, bool [values], is true; rows are preserved."""
    rows = tf.boolean_mask(ragged.value_rowids(), mask)
    values = tf.boolean_mask(ragged.values, mask)
    return tf.RaggedTensor.from_value_rowids(values, rows, ragged.nrows(), validate=False)
