"""Recall@k and MRR@k of a model over the full catalogue."""

import numpy as np

from hln_tf.analysis.retention import compiled_retention
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes
from hln_tf.models.base import SessionScorer
from hln_tf.models.hln import HLN


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
