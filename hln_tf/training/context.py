"""The context of a training run: the one object that its steps share."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common.interrupt import StopOnSignal
from hln_tf.training.distribution import Workers
from hln_tf.training.run_config import RunConfig
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import TensorBoardSettings


@dataclasses.dataclass(frozen=True)
class RunContext:
    """Settings, directory and workers that the steps of a run share.

    Attributes:
      config: The run's settings.
      directory: Its directory, locked by the caller, after `RunDirectory.begin`.
      workers: The workers that train together; only the chief writes files.
      tensorboard: The settings of the logs for TensorBoard.
      stop: Raises `TrainingInterrupt` once a signal has arrived.
      should_stop: Returns whether the training ends early, from the results of its
        epochs so far, such as `[{"loss": 5.1, "mrr@20": 0.2}]`; also when it resumes.
      started: Monotonic time at which the run was started or resumed, in seconds.
    """

    config: RunConfig
    directory: RunDirectory
    workers: Workers = dataclasses.field(default_factory=Workers)
    tensorboard: TensorBoardSettings = dataclasses.field(default_factory=TensorBoardSettings)
    stop: StopOnSignal = dataclasses.field(default_factory=StopOnSignal)
    should_stop: Callable[[Sequence[Mapping[str, Any]]], bool] = lambda history: False
    started: float = dataclasses.field(default_factory=time.monotonic)

    def events(self, part: str) -> Path | None:
        """Return the directory of a part's event files; None on workers that write none."""
        return self.directory.events(part) if self.workers.is_chief else None
