"""Recommendations for sessions of raw item ids, from Python."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.analysis.explanation import Explanation
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.text import split_session
from hln_tf.models.base import SessionScorer
from hln_tf.retrieval.recommendations import Recommendations, scored_items
from hln_tf.retrieval.session_graph import ITEMS, K, SessionGraph
from hln_tf.retrieval.settings import ServingSettings
from hln_tf.training.run_directory import RunDirectory


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
    def load(cls, workdir: RunDirectory | str | os.PathLike[str], **options: Any) -> "Recommender":
        """The recommender of a finished run; `options` are the constructor's.

        Raises:
          HlnError: The workdir holds no finished model.
        """
        if not isinstance(workdir, RunDirectory):
            workdir = RunDirectory(workdir)
        return cls.from_run(workdir, workdir.model(), **options)

    @classmethod
    def from_run(cls, workdir: RunDirectory, model: SessionScorer, **options: Any) -> "Recommender":
        """The recommender of a run whose model is at hand; `options` are the constructor's."""
        config = workdir.config()
        max_length, separator = config.training.max_length, config.data.separator
        return cls(model, workdir.vocabulary(), max_length, separator, **options)

    def popular_items(self) -> list[str]:
        """The raw ids that the model knows, most popular first."""
        order = np.argsort(-self._model.item_counts.numpy(), kind="stable")
        return [self._vocabulary[row] for row in order]

    def recommend(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Recommendations]:
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
            Recommendations(_pairs(ids, scores), bool(is_fallback))
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


def explain(
    model: Recommender | SessionScorer | str | os.PathLike[str],
    session: str | Sequence[str],
    k: int = 20,
) -> Explanation:
    """Tells what each preference group keeps of a session, and what it is nearest to.

    For many sessions, `Recommender.explain` takes them together.

    Args:
      model: A `Recommender`, what `load_model` returns, or a workdir. The
        latter two are made a recommender at each call, which takes some seconds.
      session: Raw item ids, oldest first; as one string, joined by the data
        set's separator. Unknown ones are skipped.
      k: Number of items for each group.

    Returns:
      The clicks that the model uses, the probability that each group keeps each
      of them, and each group's own nearest items.

    Raises:
      HlnError: The model has no preference groups, or the workdir no trained model.
      UsageError: The model was not loaded from a workdir, or `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"`k` is {k}, expected at least 1")
    if isinstance(model, SessionScorer):
        if model.workdir is None:
            raise UsageError(
                "the model was not loaded from a workdir, so its raw item ids are unknown: "
                "hand over a Recommender, which has them"
            )
        model = Recommender.from_run(RunDirectory(model.workdir), model)
    elif not isinstance(model, Recommender):
        model = Recommender.load(model)
    items = split_session(session, model.separator) if isinstance(session, str) else session
    (explanation,) = model.explain([items], k)
    return explanation


def _ragged(sessions: Sequence[Sequence[str]]) -> tf.RaggedTensor:
    return tf.ragged.constant(sessions, tf.string, ragged_rank=1)


def _pairs(ids: np.ndarray, scores: np.ndarray) -> list[tuple[str, float]]:
    return scored_items([item.decode() for item in ids], scores)
