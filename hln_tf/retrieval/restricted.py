"""Recommendations among candidates that a single call restricts."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.common.errors import UsageError
from hln_tf.models.base import SessionScorer
from hln_tf.models.graphs import ITEMS, compiled
from hln_tf.models.popularity import popularity_scores
from hln_tf.retrieval.index import is_zero
from hln_tf.retrieval.recommendations import Recommendations

SESSIONS_AT_A_TIME = 64


class RestrictedRanker:
    """Ranks items for sessions among candidates that differ from call to call.

    An export and `SessionGraph` have their candidates for good; here they are
    chosen by masks, without a graph for each choice.

    Args:
      model: A trained model.
      item_ids: The item ids in order of their indices.
      max_length: Clicks of a session that are used.
      candidates: int [candidates], rows of the only items that are ever recommended;
        None for all items.
    """

    def __init__(
        self,
        model: SessionScorer,
        item_ids: Sequence[str],
        max_length: int,
        candidates: npt.NDArray[np.integer] | None = None,
    ) -> None:
        self._item_ids, self._max_length = item_ids, max_length
        self._candidates = np.full(len(item_ids), candidates is None)
        if candidates is not None:
            self._candidates[candidates] = True
        self._index = {item_id: row for row, item_id in enumerate(item_ids)}
        self._popularity = popularity_scores(model.item_counts).numpy()

        def scores(items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if model.encode is None:
                found = model.scores(items)
                return found, tf.reduce_max(found, axis=1) == tf.reduce_min(found, axis=1)
            query = model.encode(items)
            table: Any = model.item_embeddings()
            return tf.matmul(query, table, transpose_b=True), is_zero(query)

        self._scores = compiled(scores, [ITEMS], model)

    def rows_of(self, item_ids: Sequence[str], argument: str) -> npt.NDArray[np.int64]:
        """Return the rows of the ids of an argument, of which one must be known, if there are any.

        Args:
          item_ids: The item ids.
          argument: Name of the argument, for the error.

        Raises:
          UsageError: None of them is known.
        """
        rows = self.rows(item_ids)
        if len(item_ids) and not len(rows):
            raise UsageError(
                f"none of the {len(item_ids)} ids in `{argument}` is known, such as "
                f"{item_ids[0]!r}: the model's ids look like {self._item_ids[0]!r}"
            )
        return rows

    def rows(self, item_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of the item ids that are known."""
        return np.array([self._index[each] for each in item_ids if each in self._index], np.int64)

    def rank(
        self,
        sessions: Sequence[Sequence[str]],
        k: int,
        exclude_seen: bool,
        candidates: npt.NDArray[np.bool_],
    ) -> list[Recommendations]:
        """Recommend the k candidates that score highest for each session.

        Args:
          sessions: Item ids of each session, oldest first.
          k: Number of items; all that remain if there are fewer.
          exclude_seen: Whether to exclude a session's own items.
          candidates: bool [items], the items that may be recommended.
        """
        found = []
        for start in range(0, len(sessions), SESSIONS_AT_A_TIME):
            known = [self.rows(each) for each in sessions[start : start + SESSIONS_AT_A_TIME]]
            scores, is_silent = self._scores(padded(known, self._max_length))
            for own, row, silent in zip(known, scores.numpy(), is_silent.numpy(), strict=True):
                is_fallback = bool(silent) or not len(own)
                row = self._popularity if is_fallback else row
                allowed = candidates.copy()
                if exclude_seen:
                    allowed[own] = False
                rows = np.flatnonzero(allowed)
                best = rows[np.argsort(-row[rows], kind="stable")[:k]]
                items = [(self._item_ids[each], float(row[each])) for each in best]
                found.append(Recommendations(items, is_fallback))
        return found

    def candidates(
        self, allow: Sequence[str] | None, deny: Sequence[str] | None
    ) -> npt.NDArray[np.bool_]:
        """Select candidates by lists of item ids, bool [items].

        Raises:
          UsageError: No id of a list is known.
        """
        mask = self._candidates.copy()
        if allow is not None:
            is_allowed = np.zeros_like(mask)
            is_allowed[self.rows_of(allow, "allow")] = True
            mask &= is_allowed
        mask[self.rows_of(deny or (), "deny")] = False
        return mask


def padded(rows: Sequence[npt.NDArray[np.int64]], max_length: int) -> npt.NDArray[np.int32]:
    """Pad the last clicks of sessions to item indices, int32 [sessions, time], with 0."""
    used = [each[-max_length:] for each in rows]
    items = np.zeros([len(used), max(1, max(map(len, used), default=1))], np.int32)
    for row, each in zip(items, used, strict=True):
        row[: len(each)] = each + 1
    return items


def similar_items(
    embeddings: npt.NDArray[np.floating], row: int, k: int, item_ids: Sequence[str]
) -> list[tuple[str, float]]:
    """Find the k items whose embeddings have the highest cosine with an item's.

    Args:
      embeddings: [items, d].
      row: The item's row; it is left out.
      k: Number of items.
      item_ids: The item ids in order of their indices.
    """
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1), np.finfo(np.float32).tiny)
    cosines = embeddings @ embeddings[row] / (lengths * lengths[row])
    cosines[row] = -np.inf
    best = np.argsort(-cosines, kind="stable")[: min(k, len(cosines) - 1)]
    return [(item_ids[each], float(cosines[each])) for each in best]
