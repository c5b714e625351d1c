"""The graph from raw item ids to answers: the same for Python and for serving."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hln_tf.models.base import SessionScorer
from hln_tf.retrieval.index import LOWEST, Retrieval, has_clicks, is_zero
from hln_tf.retrieval.settings import ServingSettings

ITEMS = tf.RaggedTensorSpec([None, None], tf.string, ragged_rank=1)
K = tf.TensorSpec([], tf.int32)


class Top(NamedTuple):
    """Items that score highest.

    Attributes:
      item_ids: string [batch, k], raw ids.
      scores: float32 [batch, k], highest first.
      is_fallback: bool [batch], whether they are the most popular ones in place
        of the model's.
    """

    item_ids: tf.Tensor
    scores: tf.Tensor
    is_fallback: tf.Tensor


class Groups(NamedTuple):
    """How a model with L preference groups reads sessions.

    Attributes:
      clicks: string [batch, max_length], raw ids of the clicks that the model
        uses, then "".
      retention: float32 [batch, L, max_length], probability that a group keeps
        a click, 0 where there is none.
      group_item_ids: string [batch, L, k], raw ids of the items nearest to what
        each group keeps, "" where it keeps nothing.
      group_scores: float32 [batch, L, k], highest first; where a group keeps
        nothing the lowest float32.
      is_fallback: bool [batch], whether no group keeps anything, so that the
        session gets the most popular items.
    """

    clicks: tf.Tensor
    retention: tf.Tensor
    group_item_ids: tf.Tensor
    group_scores: tf.Tensor
    is_fallback: tf.Tensor


class SessionGraph(tf.Module):
    """Answers sessions of raw item ids, string [batch, (time)], oldest first.

    Unknown items of a session are skipped; a session with no known item, or of
    which the model keeps nothing, gets the most popular items. Of long sessions
    the last clicks are used.

    Args:
      model: A trained model. What it can do beyond scores it says itself, see
        `SessionScorer`.
      vocabulary: Raw item ids; item i stands at index i - 1.
      max_length: Clicks of a session that are used.
      separator: Joins item ids where a session is written as one string.
      candidates: int [candidates], indices of the items that may be
        recommended, in rising order; None for all.
      settings: How many items are asked for, and how they are searched.

    Attributes:
      item_ids: string [candidates], raw ids of the candidates. It and
        `item_vectors` are in the SavedModel too, for an index elsewhere.
      item_vectors: float32 [candidates, d], their vectors; None where the model
        has none.
      has_vectors: Whether there are `queries`.
      has_groups: Whether there are `groups`.

    Raises:
      HlnError: There is no such index for this model, or none here.
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
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, tf.range(1, len(vocabulary) + 1)), 0
        )
        # The variables are tracked, for a SavedModel; the Keras model is not: saving it
        # would trace every call signature it has ever seen.
        self._weights = model.variables
        self._preferences: Any = model.preferences
        self.has_vectors = model.encode is not None
        self.has_groups = self._preferences is not None
        self._retrieval = Retrieval(model, candidates, settings)
        self.num_candidates = self._retrieval.num_candidates
        ids = ids if candidates is None else tf.gather(ids, candidates)
        self.item_ids = tf.Variable(ids, trainable=False, name="item_ids")
        self.item_vectors = self._retrieval.vectors

    def split(self, sessions: tf.Tensor) -> tf.RaggedTensor:
        """`split_session` in the graph, for string [batch]; empty ids are unknown items."""
        return tf.strings.split(sessions, sep=self.separator)

    # Like what follows with an input signature: traced once, and not again for each signature.
    @tf.function(input_signature=[ITEMS, K], autograph=False)
    def top_k(self, items: tf.RaggedTensor, k: tf.Tensor) -> Top:
        """Recommends the k items that score highest; all where there are fewer.

        Args:
          items: string [batch, (time)], raw ids.
          k: int32 [].
        """
        ranked = self._retrieval.rank(self._used(self._known(items)[1]), k)
        return self._top(*ranked)

    def top_k_each(self, items: tf.RaggedTensor, k: tf.Tensor, exclude_seen: tf.Tensor) -> Top:
        """Recommends to each session as many items as it asks for.

        Args:
          items: string [batch, (time)], raw ids.
          k: int32 [batch], from 1 to k_max, which the settings say.
          exclude_seen: bool [batch], whether the session's own items, of all its
            clicks, are left out.

        Returns:
          min(k_max, candidates) columns; those past a row's k, and those for
          which no item is left, hold "" and the lowest float32.

        Raises:
          InvalidArgumentError: A k is out of bounds, or there are not as many of
            each input.
        """
        k_max = self.settings.k_max
        is_allowed = (k >= 1) & (k <= k_max)
        said = [f"k is out of bounds, expected 1 to {k_max}, received", k[~is_allowed]]
        sizes = [items.nrows(tf.int32), tf.size(k), tf.size(exclude_seen)]
        unequal = ["expected one k and one exclude_seen for each session, received sizes", *sizes]
        checks = [
            tf.debugging.Assert(tf.reduce_all(is_allowed), said),
            tf.debugging.Assert(tf.reduce_all(tf.equal(sizes, sizes[0])), unequal),
        ]
        with tf.control_dependencies(checks):
            _, numbers = self._known(items)
        seen = masked(numbers, tf.gather(exclude_seen, numbers.value_rowids()))
        width = min(k_max, self.num_candidates)
        scores, positions, is_fallback = self._retrieval.rank_unseen(
            self._used(numbers), width, seen
        )
        scores = tf.where(tf.range(width) < k[:, None], scores, LOWEST)
        return self._top(scores, positions, is_fallback)

    def queries(self, items: tf.RaggedTensor) -> tf.Tensor:
        """Query vectors, zero without a known click.

        Args:
          items: string [batch, (time)], raw ids.

        Returns:
          float32 [batch, d].
        """
        used = self._used(self._known(items)[1])
        return tf.where(has_clicks(used)[:, None], self._retrieval.encode(used), 0.0)

    def groups(self, items: tf.RaggedTensor, k: tf.Tensor) -> Groups:
        """What each preference group keeps, and what it is nearest to.

        Args:
          items: string [batch, (time)], raw ids.
          k: int32 [], items for each group.
        """
        raw_ids, numbers = self._known(items)
        clicks = raw_ids[:, -self.max_length :].to_tensor(shape=[None, self.max_length])
        used = self._used(numbers)
        queries, retention = self._preferences(used)
        missing = self.max_length - tf.shape(retention)[2]
        retention = tf.pad(retention, [[0, 0], [0, 0], [0, missing]])
        num_groups, d = queries.shape[1:]
        found = self._retrieval.nearest(tf.reshape(queries, [-1, d]), k)
        scores, positions = (tf.reshape(f, [-1, num_groups, tf.shape(f)[1]]) for f in found)
        keeps_nothing = is_zero(queries) | ~has_clicks(used)[:, None]
        scores = tf.where(keeps_nothing[..., None], LOWEST, scores)
        return Groups(
            clicks,
            tf.ensure_shape(retention, [None, num_groups, self.max_length]),
            self._ids(scores, positions),
            scores,
            tf.reduce_all(keeps_nothing, axis=1),
        )

    def _top(self, scores: tf.Tensor, positions: tf.Tensor, is_fallback: tf.Tensor) -> Top:
        return Top(self._ids(scores, positions), scores, is_fallback)

    def _ids(self, scores: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Raw ids, "" where the score says that there is no item."""
        return tf.where(scores > LOWEST, tf.gather(self.item_ids, positions), "")

    @tf.function(input_signature=[ITEMS], autograph=False)
    def _known(self, items: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Raw ids and numbers of the known items, both [batch, (known)]."""
        numbers = self._numbers.lookup(items.values)
        known = masked(items.with_values(numbers), numbers > 0)
        return masked(items, numbers > 0), known

    def _used(self, numbers: tf.RaggedTensor) -> tf.Tensor:
        """The last clicks, int32 [batch, time], padded with 0."""
        used = numbers[:, -self.max_length :].to_tensor()
        # At least one column, so that no model meets sessions without time.
        return tf.pad(used, [[0, 0], [0, tf.cast(tf.shape(used)[1] == 0, tf.int32)]])


def masked(ragged: tf.RaggedTensor, mask: tf.Tensor) -> tf.RaggedTensor:
    """The values where `mask`, bool [values], is true, in the rows where they were."""
    rows = tf.boolean_mask(ragged.value_rowids(), mask)
    values = tf.boolean_mask(ragged.values, mask)
    return tf.RaggedTensor.from_value_rowids(values, rows, ragged.nrows(), validate=False)
