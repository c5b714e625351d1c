"""Recommendations for sessions of item ids, from Python."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.analysis.explanation import Explanation
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.text import split_session
from hln_tf.export.saved_model import export
from hln_tf.models.base import SessionScorer
from hln_tf.retrieval.recommendations import Recommendations, scored_items
from hln_tf.retrieval.session_graph import ITEMS, K, SessionGraph
from hln_tf.retrieval.settings import ServingSettings
from hln_tf.training.run_directory import RunDirectory


class Recommender:
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
        self.known = frozenset(vocabulary)
        self.separator = separator
        self._model = model
        settings = settings or ServingSettings()
        self.graph = SessionGraph(model, vocabulary, max_length, separator, candidates, settings)
        self._groups = tf.function(self.graph.groups, input_signature=[ITEMS, K])
        self._queries = tf.function(self.graph.queries, input_signature=[ITEMS])

    @classmethod
    def load(cls, workdir: RunDirectory | str | os.PathLike[str], **options: Any) -> "Recommender":
        """Load the recommender of a finished run.

        Args:
          workdir: The run directory.
          **options: `candidates` and `settings` of the constructor.

        Raises:
          HlnError: The directory contains no trained model.
        """
        if not isinstance(workdir, RunDirectory):
            workdir = RunDirectory(workdir)
        return cls.from_run(workdir, workdir.model(), **options)

    @classmethod
    def from_run(cls, workdir: RunDirectory, model: SessionScorer, **options: Any) -> "Recommender":
        """Make the recommender of a run whose model is loaded.

        Args:
          workdir: The run directory.
          model: The run's model.
          **options: `candidates` and `settings` of the constructor.
        """
        config = workdir.config()
        max_length, separator = config.training.max_length, config.data.separator
        return cls(model, workdir.vocabulary(), max_length, separator, **options)

    def export(self, base: Path, run: Mapping[str, Any], version: int | None = None) -> Path:
        """Write a SavedModel for TensorFlow Serving; see `hln_tf.export.export`.

        Args:
          base: The model's directory, in which the export is a version.
          run: The description of the run for the model card, see
            `hln_tf.export.describe_run`.
          version: Number of the version; one more than the largest by default.

        Returns:
          The version's directory.

        Raises:
          HlnError: The version exists already, or `base` is no directory.
        """
        return export(self.graph, base, run, version)

    def recommend(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Recommendations]:
        """Recommend items for sessions.

        Args:
          sessions: Item ids of each session, oldest first.
          k: Number of items for each.

        Returns:
          The recommendations of each session.
        """
        if not sessions:
            return []
        top = self.graph.top_k(_ragged(sessions), min(k, self.graph.num_candidates))
        return [
            Recommendations(_pairs(ids, scores), bool(is_fallback))
            for ids, scores, is_fallback in zip(*(part.numpy() for part in top), strict=True)
        ]

    def explain(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Explanation]:
        """Explain sessions by their preference groups.

        Args:
          sessions: Item ids of each session, oldest first.
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
            explanations.append(
                Explanation(used, retention[:, : len(used)], nearest, bool(is_fallback))
            )
        return explanations

    def embed(self, sessions: Sequence[Sequence[str]]) -> np.ndarray:
        """Compute the query embeddings of sessions.

        The score of an item is the dot product of its embedding with the query
        embedding.

        Args:
          sessions: Item ids of each session, oldest first.

        Returns:
          float32 [sessions, d]; zero for a session without a known item, or of
          which no preference group retains a click.

        Raises:
          HlnError: The model has no query embeddings.
        """
        if not self.graph.has_embeddings:
            raise self._unable("query embeddings", "embed")
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
    """Explain a session by its preference groups.

    `Recommender.explain` explains many sessions together.

    Args:
      model: A `Recommender`, a model from `load_model`, or a run directory. The
        latter two are converted to a recommender at each call, which takes some
        seconds.
      session: Item ids, oldest first; as one string, joined by the data set's
        separator. Unknown ones are skipped.
      k: Number of items for each group.

    Returns:
      The clicks that the model uses, their retention in each group, and each
      group's nearest items.

    Raises:
      HlnError: The model has no preference groups, or the run no trained model.
      UsageError: The model was not loaded from a run directory, or `k` is below 1.
    """
    if k < 1:
        raise UsageError(f"`k` is {k}, expected at least 1")
    if isinstance(model, SessionScorer):
        if model.workdir is None:
            raise UsageError(
                "the model was not loaded from a workdir, so its item ids are unknown: "
                "pass a Recommender, which has them"
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
