"""Recommendations, explanations and embeddings of sessions of item ids, by a trained model."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.analysis.explanation import Explanation, used_positions
from hln_tf.common.errors import HlnError, SettingError
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import compiled
from hln_tf.retrieval.inputs import as_item_id, as_item_ids, as_sessions
from hln_tf.retrieval.recommendations import Recommendations, scored_items
from hln_tf.retrieval.restricted import RestrictedRanker, similar_items
from hln_tf.retrieval.session_graph import ITEMS, K, SessionGraph
from hln_tf.retrieval.settings import ServingSettings

_QUERIES = "query embeddings"


class SessionRecommender:
    """Recommends items for sessions of item ids, with the graph that an export contains.

    Args:
      model: A trained model.
      vocabulary: Item ids in order of their indices.
      max_length: Clicks of a session that are used.
      separator: Joins the item ids of a session that is written as one string.
      candidates: int [candidates], the candidates' positions in the vocabulary,
        from 0, in ascending order; None for all items.
      settings: The search for the candidates, and the number of items that an
        export returns.

    Attributes:
      model: The same.
      known: The ids of the items that the model knows.
      separator: The same.
      graph: The graph, see `SessionGraph`.

    Raises:
      HlnError: The index does not support this model, or is not installed.
    """

    def __init__(
        self,
        model: SessionScorer,
        vocabulary: Sequence[str],
        max_length: int,
        separator: str,
        candidates: np.ndarray | None = None,
        settings: ServingSettings | None = None,
    ) -> None:
        self.model = model
        self.known = frozenset(vocabulary)
        self.separator = separator
        self._vocabulary, self._max_length, self._candidates = vocabulary, max_length, candidates
        settings = settings or ServingSettings()
        self.graph = SessionGraph(model, vocabulary, max_length, separator, candidates, settings)
        self._groups = compiled(self.graph.groups, [ITEMS, K], model)
        self._queries = compiled(self.graph.queries, [ITEMS], model)

    def recommend(
        self,
        sessions: Any,
        k: int = 20,
        exclude_seen: bool = False,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
    ) -> list[Recommendations]:
        """Recommend items for sessions.

        Items that the model does not know are skipped in a session. One without a
        known item gets the most popular items, see `Recommendations.is_fallback`.

        Args:
          sessions: Item ids of each session, oldest first, as lists, arrays or
            Series. A session may also be one string of ids joined by `separator`, a
            space by default; a list of two or more strings without a separator is
            refused, as it may be one session.
          k: Number of items for each, at least 1; fewer where fewer remain.
          exclude_seen: Whether to exclude a session's own items.
          allow: Item ids of the only items to recommend, or None for all; unknown ones
            are skipped, unless all are.
          deny: Item ids not to recommend; unknown ones are skipped, unless all are.

        Returns:
          The recommendations of each session.

        Raises:
          UsageError: An argument cannot be used, or no id of `allow` or of `deny` is
            known.
        """
        if not isinstance(exclude_seen, bool | np.bool_):
            raise SettingError("exclude_seen", exclude_seen, "True or False")
        rows = self._sessions(sessions, k)
        allow, deny = (
            None if ids is None else as_item_ids(ids, name)
            for name, ids in (("allow", allow), ("deny", deny))
        )
        if not rows:
            return []
        if exclude_seen or allow is not None or deny is not None:
            ranker = self._restricted
            return ranker.rank(rows, k, exclude_seen, ranker.candidates(allow, deny))
        top = self.graph.top_k(_ragged(rows), min(int(k), self.graph.num_candidates))
        return [
            Recommendations(_pairs(ids, scores), bool(is_fallback))
            for ids, scores, is_fallback in zip(*(part.numpy() for part in top), strict=True)
        ]

    def similar_items(self, item: str, k: int = 10) -> list[tuple[str, float]]:
        """Find the items whose embeddings are most similar to an item's.

        Args:
          item: The item's id.
          k: Number of items.

        Returns:
          Pairs of item id and cosine, most similar first.

        Raises:
          HlnError: The model has no item embeddings, or does not know the item.
          UsageError: `k` or `item` cannot be used.
        """
        if not isinstance(self.model, SessionEncoder):
            raise self._unable("item embeddings", "compare items")
        self._check_k(k)
        rows = self._restricted.rows([as_item_id(item, "item")])
        if not len(rows):
            raise HlnError(f"the model does not know the item {item!r}: name one of its data set")
        embeddings = np.asarray(self.model.item_embeddings())
        return similar_items(embeddings, int(rows[0]), k, self._vocabulary)

    def explain(self, sessions: Any, k: int = 20) -> list[Explanation]:
        """Explain sessions by their preference groups.

        `print(explanation)` shows a table, `hln_tf.analysis.draw_session(explanation,
        title)` makes a figure of Matplotlib.

        Args:
          sessions: Item ids of each session, as for `recommend`.
          k: Number of items for each group.

        Returns:
          One explanation for each session, see `Explanation`. Its clicks are those of
          the session that the model knows, at `positions`.

        Raises:
          HlnError: The model has no preference groups.
          UsageError: `k` or `sessions` cannot be used.
        """
        if not self.graph.has_groups:
            raise self._unable("preference groups", "explain a session")
        rows = self._sessions(sessions, k)
        if not rows:
            return []
        groups = self._groups(_ragged(rows), min(int(k), self.graph.num_candidates))
        explanations = []
        for row, clicks, retention, ids, scores, is_fallback in zip(
            rows, *(part.numpy() for part in groups), strict=True
        ):
            used = [click.decode() for click in clicks if click]
            nearest = [_pairs(*group) for group in zip(ids, scores, strict=True)]
            positions = used_positions(row, used)
            explanations.append(
                Explanation(used, retention[:, : len(used)], nearest, bool(is_fallback), positions)
            )
        return explanations

    def embed(self, sessions: Any) -> np.ndarray:
        """Compute the query embeddings of sessions.

        The score of an item is the dot product of its embedding with the query
        embedding.

        Args:
          sessions: Item ids of each session, as for `recommend`.

        Returns:
          float32 [sessions, d]; zero for a session without a known item, or of
          which no preference group retains a click.

        Raises:
          HlnError: The model has no query embeddings.
        """
        if not self.graph.has_embeddings:
            raise self._unable(_QUERIES, "embed a session")
        return self._queries(_ragged(self._sessions(sessions))).numpy()

    @functools.cached_property
    def _restricted(self) -> RestrictedRanker:
        return RestrictedRanker(self.model, self._vocabulary, self._max_length, self._candidates)

    def _sessions(self, sessions: Any, k: int = 1) -> list[list[str]]:
        self._check_k(k)
        return as_sessions(sessions, self.separator)

    def _check_k(self, k: Any) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise SettingError("k", k, "a whole number of at least 1")

    def _unable(self, missing: str, ability: str) -> HlnError:
        name, remedy = type(self.model).__name__, "use a model that has, such as HLN"
        is_hidden = missing == _QUERIES and isinstance(self.model, SessionEncoder)
        if is_hidden:  # with a repeat head, of which scores are no dot products
            name, remedy = f"{name} with repeat_head", "train without repeat_head"
        return HlnError(f"{name} has no {missing}, so it cannot {ability}: {remedy}")


def _ragged(sessions: Sequence[Sequence[str]]) -> tf.RaggedTensor:
    return tf.ragged.constant(sessions, tf.string, ragged_rank=1)


def _pairs(ids: np.ndarray, scores: np.ndarray) -> list[tuple[str, float]]:
    return scored_items([item.decode() for item in ids], scores)
