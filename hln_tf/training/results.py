"""Results of a training: how its epochs compare."""

from collections.abc import Mapping, Sequence

from hln_tf.training.settings import OBJECTIVE


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
