"""Recall@k and MRR@k of a model over the full catalogue."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hln_tf.analysis.retention import compiled_retention
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.models.base import SessionScorer
from hln_tf.models.hln import HLN
from hln_tf.models.popularity import popularity_scores
from hln_tf.training.ranking import batches_by_length, rank_examples


def evaluate(
    model: SessionScorer, prefixes: Prefixes, batch_size: int, label: str, stop: StopOnSignal
) -> dict[str, float]:
    """Rank the target of each prefix among all items.

    Args:
      model: The model.
      prefixes: The examples to rank.
      batch_size: Examples ranked at a time.
      label: Label of the progress bar.
      stop: Checked after every batch.

    Returns:
      The metrics by name, as fractions of 1.

    Raises:
      TrainingInterrupt: A signal arrived.
    """
    ranking = FullCatalogueRanking(model.ranking.ks)
    ranking.update_from_ranks(rank_examples(model, prefixes, batch_size, label, stop)[0])
    return ranking.results()


def evaluate_sessions(
    model: SessionScorer,
    sessions: Sessions | Sequence[npt.NDArray[np.int32]],
    ks: Sequence[int],
    max_length: int,
    batch_size: int,
    label: str = "evaluation",
    stop: StopOnSignal | None = None,
) -> dict[str, float]:
    """Evaluate a model on sessions that may have items which it does not know.

    A click on an unknown item is left out of prefixes and, as a target, counts as
    a miss. A prefix without a known click gets the most popular items.

    Args:
      model: The model.
      sessions: Each session's item indices, 0 for unknown items.
      ks: The cut-offs.
      max_length: Clicks of a prefix that are used.
      batch_size: Examples ranked at a time.
      label: Label of the progress bar.
      stop: Checked after every batch.

    Returns:
      Recall and MRR by name, as fractions of 1, and the counts `sessions`,
      `examples`, `unknown_clicks` and `unknown_targets`.

    Raises:
      TrainingInterrupt: A signal arrived.
    """
    if not isinstance(sessions, Sessions):
        sessions = Sessions.from_lists(sessions)
    clicked = sessions.where(sessions.lengths > 0)
    prefixes = Prefixes.from_sessions(clicked.known(), max_length)
    ranks, _ = rank_examples(model, prefixes, batch_size, label, stop)
    ranking = FullCatalogueRanking(ks)
    ranking.update_from_ranks(with_unknown(model, clicked, ranks))
    return {
        **ranking.results(),
        "sessions": len(sessions),
        "examples": clicked.prefixes,
        "unknown_clicks": int(np.sum(clicked.items == 0)),
        "unknown_targets": int(np.sum(clicked.targets == 0)),
    }


def with_unknown(
    model: SessionScorer, sessions: Sessions, ranks: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Add the ranks of the targets that sessions without unknown items do not have.

    A target on an unknown item ranks after every cut-off, and one without a known
    click before it by popularity.

    Args:
      model: The model.
      sessions: Sessions of one click or more, item 0 for unknown ones.
      ranks: int32 [known examples], the ranks from 1 of the targets of `sessions.known()`.

    Returns:
      The ranks of all targets from 1, int32 [examples], in order of the sessions.
    """
    targets = sessions.targets
    popularity = popularity_scores(model.item_counts).numpy()
    by_popularity = np.append(0, 1 + np.argsort(np.argsort(-popularity, kind="stable")))
    missed = np.iinfo(np.int32).max
    found = np.where(targets > 0, by_popularity[targets], missed).astype(np.int32)
    is_known = (sessions.items > 0).astype(np.int64)
    before = np.cumsum(is_known) - is_known
    before -= np.repeat(before[sessions.offsets[:-1]], sessions.lengths)
    is_ranked = sessions.of_targets(before) > 0
    found[is_ranked & (targets > 0)] = ranks
    return found


def mean_retention(model: HLN, prefixes: Prefixes, batch_size: int) -> list[float]:
    """Compute the mean retention of a click in each preference group.

    Args:
      model: The model.
      prefixes: The examples over whose clicks the mean is taken.
      batch_size: Examples at a time.

    Returns:
      One mean for each of the L groups.
    """
    retention = compiled_retention(model)
    total, clicks = np.zeros(model.settings.num_groups), 0
    for _, batch in batches_by_length(prefixes, batch_size, "retention"):
        total += retention(batch["items"]).numpy().sum(axis=(0, 2), dtype=np.float64)
        clicks += int(np.count_nonzero(batch["items"]))
    return [float(mean) for mean in total / clicks]
