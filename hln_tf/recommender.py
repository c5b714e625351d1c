"""Recommendations for sessions of raw item ids, from Python."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.answers import Answer, Explanation, scored_items
from hln_tf.errors import HlnError
from hln_tf.models.base import SessionScorer
from hln_tf.serving_settings import ServingSettings
from hln_tf.session_graph import ITEMS, K, SessionGraph
from hln_tf.workdir import Workdir


class Recommender:
    """Recommends items by their raw ids; an export answers with the same graph.

    Args:
      model: A trained model.
      vocabulary: Raw item ids; item i stands at index i - 1.
      max_length: Clicks of a session that are used.
      separator: Joins item ids where a session is written as one string.
      candidates: int [candidates], indices of the items that may be
        recommended, in rising order; None for all.
      settings: How candidates are searched, and how many items an export returns.

    Attributes:
      known: The raw ids that the model knows.
      separator: As given.
      graph: What answers, see `SessionGraph`.

    Raises:
      HlnError: There is no such index for this model, or none here.
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
        self.known = frozenset(vocabulary)
        self.separator = separator
        self._vocabulary, self._model = vocabulary, model
        settings = settings or ServingSettings()
        self.graph = SessionGraph(model, vocabulary, max_length, separator, candidates, settings)
        self._groups = tf.function(self.graph.groups, input_signature=[ITEMS, K])
        self._queries = tf.function(self.graph.queries, input_signature=[ITEMS])

    @classmethod
    def load(cls, workdir: Workdir | str | os.PathLike[str], **options: Any) -> "Recommender":
        """The recommender of a finished run; `options` are the constructor's.

        Raises:
          HlnError: The workdir holds no finished model.
        """
        if not isinstance(workdir, Workdir):
            workdir = Workdir(workdir)
        return cls.of(workdir, workdir.model(), **options)

    @classmethod
    def of(cls, workdir: Workdir, model: SessionScorer, **options: Any) -> "Recommender":
        """The recommender of a run whose model is at hand; `options` are the constructor's."""
        config = workdir.config()
        max_length, separator = config.training.max_length, config.data.separator
        return cls(model, workdir.vocabulary(), max_length, separator, **options)

    def popular_items(self) -> list[str]:
        """The raw ids that the model knows, most popular first."""
        order = np.argsort(-self._model.item_counts.numpy(), kind="stable")
        return [self._vocabulary[row] for row in order]

    def recommend(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Answer]:
        """Recommends items for sessions.

        Args:
          sessions: Raw item ids of each session, oldest first.
          k: Number of items for each.

        Returns:
          One answer for each session.
        """
        if not sessions:
            return []
        top = self.graph.top_k(_ragged(sessions), min(k, self.graph.num_candidates))
        return [
            Answer(_pairs(ids, scores), bool(is_fallback))
            for ids, scores, is_fallback in zip(*(part.numpy() for part in top), strict=True)
        ]

    def explain(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Explanation]:
        """Tells what each preference group keeps of sessions, and what it is nearest to.

        Args:
          sessions: Raw item ids of each session, oldest first.
          k: Number of items for each group.

        Returns:
          One explanation for each session.

        Raises:
          HlnError: The model has no preference groups.
        """
        if not self.graph.has_groups:
            raise self._unable("preference groups", "explain")
        if not sessions:
            return []
        groups = self._groups(_ragged(sessions), min(k, self.graph.num_candidates))
        explanations = []
        for clicks, retention, ids, scores, is_fallback in zip(
            *(part.numpy() for part in groups), strict=True
        ):
            used = [click.decode() for click in clicks if click]
            nearest = [_pairs(*group) for group in zip(ids, scores, strict=True)]
            kept = retention[:, : len(used)]
            explanations.append(Explanation(used, kept, nearest, bool(is_fallback)))
        return explanations

    def embed(self, sessions: Sequence[Sequence[str]]) -> np.ndarray:
        """The query vectors of sessions, zero where a session tells the model nothing.

        The score of an item is the dot product of its vector with the query.

        Args:
          sessions: Raw item ids of each session, oldest first.

        Returns:
          float32 [sessions, d].

        Raises:
          HlnError: The model has no query vectors.
        """
        if not self.graph.has_vectors:
            raise self._unable("query vectors", "embed")
        return self._queries(_ragged(sessions)).numpy()

    def _unable(self, missing: str, verb: str) -> HlnError:
        return HlnError(
            f"{type(self._model).__name__} has no {missing}, so it cannot {verb} a session: use a "
            f"model that has, such as HLN"
        )


def _ragged(sessions: Sequence[Sequence[str]]) -> tf.RaggedTensor:
    return tf.ragged.constant(sessions, tf.string, ragged_rank=1)


def _pairs(ids: np.ndarray, scores: np.ndarray) -> list[tuple[str, float]]:
    return scored_items([item.decode() for item in ids], scores)
