"""Results of a training: how its epochs compare, and what `metrics.json` records."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hln_tf.data.sessions import Sessions, count_unseen
from hln_tf.training.settings import OBJECTIVE

if TYPE_CHECKING:
    from hln_tf.models.base import SessionScorer
    from hln_tf.training.run_config import RunConfig


def is_better(
    entry: Mapping[str, float], history: Sequence[Mapping[str, float]], best: int | None
) -> bool:
    """Check whether an epoch is better than those before it.

    Args:
      entry: Its metrics by name.
      history: Those of the epochs before it.
      best: Index of the best of these, or None before the first.
    """
    return best is None or entry[OBJECTIVE] > history[best][OBJECTIVE]


def is_over(epoch: int, best: int | None, epochs: int, patience: int) -> bool:
    """Check for the end of a training: all epochs are done, or early stopping applies.

    Args:
      epoch: Number of epochs that are done.
      best: Index of the best of them, or None where none is validated.
      epochs: The largest number of epochs.
      patience: Epochs without a better one before early stopping.
    """
    return epoch >= epochs or (best is not None and epoch - 1 - best >= patience)


def describe(entry: Mapping[str, float]) -> str:
    """Format an epoch's loss and main metrics as one line."""
    parts = [f"loss {entry['loss']:.4f}"] if "loss" in entry else []
    shown = [name for name in ("recall@20", "mrr@20") if name in entry]
    return ", ".join(parts + [f"{name} {100 * entry[name]:.2f} %" for name in shown])


def selection_results(
    history: Sequence[Mapping[str, float]], best: int, seconds: float
) -> dict[str, Any]:
    """Compose the results of a training whose epoch validation chose.

    Args:
      history: Loss, learning rate and validation metrics of each epoch.
      best: Index of the chosen one.
      seconds: Duration of the training.
    """
    return {
        "best_epoch": best + 1,
        "history": history,
        "validation": {name: value for name, value in history[best].items() if "@" in name},
        "training_seconds": seconds,
    }


def unseen_targets(train: Sessions, validation: Sessions, test: Sessions) -> dict[str, int]:
    """Count the test targets on items that train, or train and validation, do not have."""
    return {
        "train": count_unseen(test.targets, [train]),
        "train+validation": count_unseen(test.targets, [train, validation]),
    }


def compose_results(
    config: "RunConfig",
    model: "SessionScorer",
    results: Mapping[str, Any],
    test: Mapping[str, float] | None,
    timing: Mapping[str, float],
) -> dict[str, Any]:
    """Compose the content of `metrics.json`.

    Args:
      config: The run's settings.
      model: The chosen model.
      results: The results of its training; names that end with `_seconds` go to the timing.
      test: Its test metrics with the counts `prefixes` and `sessions`; None without a test
        part.
      timing: Further entries of the timing.
    """
    seconds = {name: value for name, value in results.items() if name.endswith("_seconds")}
    content = {
        "model": config.model,
        "dataset": config.data.dataset,
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
        **{name: value for name, value in results.items() if name not in seconds},
        "timing": {**seconds, **timing},
    }
    if test is not None:
        content["sessions"] = {**content["sessions"], "test": test["sessions"]}
        content["test"] = {name: value for name, value in test.items() if name != "sessions"}
    return content
