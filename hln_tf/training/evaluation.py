"""Recall@k and MRR@k of a model over the full catalogue."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hln_tf.analysis.retention import compiled_retention
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.models.base import SessionScorer
from hln_tf.models.hln import HLN
from hln_tf.models.popularity import popularity_scores


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
    model.ranking.reset_states()
    with progress_bar(label, "examples", len(prefixes)) as bar:
        for batch in prefixes.batches(prefixes.by_length(), batch_size):
            model.compiled_rank_step(batch["items"], batch["target"])
            bar.update(len(batch["target"]))
            stop.check()
    return model.ranking.results()


def evaluate_sessions(
    model: SessionScorer,
    sessions: Sequence[npt.NDArray[np.int32]],
    ks: Sequence[int],
    max_length: int,
    batch_size: int,
    label: str = "evaluation",
    stop: StopOnSignal | None = None,
) -> dict[str, float]:
    """Evaluate a model on sessions that may have items which it does not know.

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
    ranks = rank_sessions(model, sessions, max_length, batch_size, label, stop)
    ranking = FullCatalogueRanking(ks)
    ranking.update_from_ranks(ranks)
    unknown = sum(int(np.sum(session == 0)) for session in sessions)
    return {
        **ranking.results(),
        "sessions": len(sessions),
        "examples": len(ranks),
        "unknown_clicks": unknown,
        "unknown_targets": sum(int(np.sum(session[1:] == 0)) for session in sessions),
    }


def rank_sessions(
    model: SessionScorer,
    sessions: Sequence[npt.NDArray[np.int32]],
    max_length: int,
    batch_size: int,
    label: str = "evaluation",
    stop: StopOnSignal | None = None,
) -> npt.NDArray[np.int32]:
    """Rank the targets of sessions that may have items which a model does not know.

    A click on an unknown item is left out of prefixes and, as a target, ranks after
    every cut-off. A prefix without a known click gets the most popular items.

    Args:
      model: The model.
      sessions: Each session's item indices, 0 for unknown items.
      max_length: Clicks of a prefix that are used.
      batch_size: Examples ranked at a time.
      label: Label of the progress bar.
      stop: Checked after every batch.

    Returns:
      The targets' ranks from 1, int32 [examples], in order of the sessions.

    Raises:
      TrainingInterrupt: A signal arrived.
    """
    flat = np.concatenate([np.empty(0, np.int32), *sessions])
    lengths = np.array([len(session) for session in sessions], np.int64)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_target = np.arange(len(flat)) > starts
    known_before = np.concatenate([[0], np.cumsum(flat > 0)])
    known = flat[flat > 0]
    end = known_before[:-1][is_target]
    used = np.minimum(end - known_before[starts[is_target]], max_length)
    targets = flat[is_target]
    popularity = popularity_scores(model.item_counts).numpy()
    by_popularity = np.append(0, 1 + np.argsort(np.argsort(-popularity, kind="stable")))
    missed = np.iinfo(np.int32).max
    ranks = np.where(targets > 0, by_popularity[targets], missed).astype(np.int32)
    chosen = np.flatnonzero((used > 0) & (targets > 0))
    chosen = chosen[np.argsort(used[chosen], kind="stable")]
    with progress_bar(label, "examples", len(chosen)) as bar:
        for first in range(0, len(chosen), batch_size):
            batch = chosen[first : first + batch_size]
            time = np.arange(used[batch].max())
            is_click = time < used[batch, None]
            clicks = known[np.where(is_click, (end - used)[batch, None] + time, 0)]
            items = np.where(is_click, clicks, 0).astype(np.int32)
            ranks[batch] = model.compiled_target_ranks(items, targets[batch].astype(np.int32))
            bar.update(len(batch))
            if stop is not None:
                stop.check()
    return ranks


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
    with progress_bar("retention", "examples", len(prefixes)) as bar:
        for batch in prefixes.batches(prefixes.by_length(), batch_size):
            total += retention(batch["items"]).numpy().sum(axis=(0, 2), dtype=np.float64)
            clicks += int(np.count_nonzero(batch["items"]))
            bar.update(len(batch["target"]))
    return [float(mean) for mean in total / clicks]


def describe(entry: dict[str, float]) -> str:
    """Format an epoch's loss and main metrics as one line."""
    parts = [f"loss {entry['loss']:.4f}"] if "loss" in entry else []
    shown = [name for name in ("recall@20", "mrr@20") if name in entry]
    return ", ".join(parts + [f"{name} {100 * entry[name]:.2f} %" for name in shown])
