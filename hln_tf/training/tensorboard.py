"""TensorBoard's event files.

```
events/
  selection/  of the training on train: scalars; with --tensorboard, diagnostics too
  refit/      the same of the training on full train
  results/    settings and final metrics, for HParams
```
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.analysis.learning_curves import OF_EPOCHS
from hln_tf.models.encoder import SessionEncoder
from hln_tf.training.profile import Profile


class TensorBoardLogger:
    """Logger of a training for TensorBoard: scalars, and a profile if one is asked for.

    It is a context manager. Workers other than the chief write nothing.

    Args:
      directory: Where the event files go; None to write none.
      profile_steps: First and last step of this process to profile, from 1.
    """

    def __init__(
        self, directory: Path | None, profile_steps: tuple[int, int] | None = None
    ) -> None:
        self.directory = directory
        self._profile = Profile(directory, profile_steps)
        self._writer = summary_writer(directory)
        self._throughput, self._epoch_throughput = Throughput(), Throughput()

    def __enter__(self) -> "TensorBoardLogger":
        return self

    def __exit__(self, *exception: object) -> None:
        self._profile.close()
        self._writer.close()

    def begin(self, model: SessionEncoder, step: Any) -> None:
        """Start logging, before the first step of this process.

        Args:
          model: The model.
          step: The compiled function that takes a step.
        """
        self._profile.begin()

    def resume(self) -> None:
        """Resume timing after other work, such as validation, whose time is not the steps'."""
        self._throughput.begin()
        self._epoch_throughput.begin()

    @property
    def profiles(self) -> bool:
        """True if some steps are profiled, each of which must then be a call."""
        return self._profile.steps is not None

    def stepped(self, steps: int, examples: int) -> None:
        """Count finished steps and their examples."""
        self._profile.stepped(steps)
        self._throughput.count(examples)
        self._epoch_throughput.count(examples)

    def at_step(self, step: int, loss: float, batch: Mapping[str, tf.Tensor], seed: Any) -> None:
        """Log scalars after some of the steps; all workers must call it together.

        Args:
          step: The step's number in the whole training, from 1.
          loss: Mean loss of the epoch so far.
          batch: The step's batch, see `Prefixes.batches`.
          seed: int32 [2], the seed of its noise.
        """
        self._scalars({"loss": loss, **self._throughput.take()}, step)

    def at_epoch(self, epoch: int, entry: Mapping[str, float]) -> None:
        """Log the scalars of an epoch.

        Args:
          epoch: Its number, from 1.
          entry: Its loss and metrics by name.
        """
        values = {**entry, **self._epoch_throughput.take()}
        self._scalars({f"{OF_EPOCHS}{name}": value for name, value in values.items()}, epoch)

    def finish(self, model: SessionEncoder) -> None:
        """Log the end of the training.

        Args:
          model: The model with its final weights.
        """

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def summary_writer(directory: Path | None) -> Any:
    """Create a writer of event files below a directory, or one that writes nothing."""
    if directory is None:
        return tf.summary.create_noop_writer()
    return tf.summary.create_file_writer(str(directory))


class Throughput:
    """Examples per second since the last measurement."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start a new measurement."""
        self._examples, self._since = 0, time.monotonic()
        self._until = self._since

    def count(self, examples: int) -> None:
        """Add examples that have been processed by now."""
        self._examples, self._until = self._examples + examples, time.monotonic()

    def take(self) -> dict[str, float]:
        """Return the throughput under its name, if anything was counted, and start anew."""
        seconds, examples = self._until - self._since, self._examples
        self.begin()
        return {"examples_per_second": examples / seconds} if seconds else {}
