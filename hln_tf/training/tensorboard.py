"""TensorBoard's event files.

```
events/
  selection/  of the training that validation judges: scalars; with --tensorboard all the rest
  refit/      the same of the training on all of train
  results/    settings and final metrics, for HParams
```
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.analysis.learning_curves import OF_EPOCHS
from hln_tf.models.base import SessionEncoder
from hln_tf.training.profile import Profile


class TensorBoardLogger:
    """What a training tells TensorBoard: scalars, and a profile where one is asked for.

    Use it as a context. On workers other than the chief nothing is written.

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
        self._speed, self._epoch_speed = Throughput(), Throughput()

    def __enter__(self) -> "TensorBoardLogger":
        return self

    def __exit__(self, *exception: object) -> None:
        self._profile.close()
        self._writer.close()

    def begin(self, model: SessionEncoder, step: Any) -> None:
        """Called before the first step of this process, with the function that takes a step."""
        self._profile.begin()

    def resume(self) -> None:
        """Called where steps go on after other work, whose time does not count as theirs."""
        self._speed.begin()
        self._epoch_speed.begin()

    def stepped(self, samples: int) -> None:
        """Called after every step."""
        self._profile.stepped()
        self._speed.count(samples)
        self._epoch_speed.count(samples)

    def at_step(self, step: int, loss: float, batch: Mapping[str, tf.Tensor], seed: Any) -> None:
        """Called now and then after a step, on all workers.

        Args:
          step: Its number in the whole training, from 1.
          loss: Mean loss of the epoch so far.
          batch: What the step was taken on, see `Prefixes.batches`.
          seed: int32 [2], on which its noise depends.
        """
        self._scalars({"loss": loss, **self._speed.take()}, step)

    def at_epoch(self, epoch: int, entry: Mapping[str, float]) -> None:
        """Called after every epoch.

        Args:
          epoch: Its number, from 1.
          entry: Its figures by name.
        """
        figures = {**entry, **self._epoch_speed.take()}
        self._scalars({f"{OF_EPOCHS}{name}": value for name, value in figures.items()}, epoch)

    def finish(self, model: SessionEncoder) -> None:
        """Called at the end of the training, with the weights that it leads to."""

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def summary_writer(directory: Path | None) -> Any:
    """A writer of event files below a directory, or one that writes nothing."""
    if directory is None:
        return tf.summary.create_noop_writer()
    return tf.summary.create_file_writer(str(directory))


class Throughput:
    """Samples per second between two questions."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets what was counted."""
        self._samples, self._since = 0, time.monotonic()
        self._until = self._since

    def count(self, samples: int) -> None:
        """Counts samples that are done by now."""
        self._samples, self._until = self._samples + samples, time.monotonic()

    def take(self) -> dict[str, float]:
        """The speed since the last question under its name, nothing where nothing was counted."""
        seconds, samples = self._until - self._since, self._samples
        self.begin()
        return {"sequences_per_second": samples / seconds} if seconds else {}
