"""The checkpoint of a run, from which it resumes at any step.

```
RUN/checkpoint/   model, optimiser, running loss and progress after the newest saved step
RUN/model/        the weights of the best epoch so far; at the end, of the chosen model
```
"""

import dataclasses
import json
import time
from typing import Any

import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.training.checkpoints import NewestCheckpoint
from hln_tf.training.context import RunContext
from hln_tf.training.distribution import Workers
from hln_tf.training.run_directory import RunDirectory


@dataclasses.dataclass
class Progress:
    """Progress of a run.

    Attributes:
      phase: Name of the phase in progress, `selection` or `refit`.
      epoch: The phase's epoch in progress, from 0.
      step: Steps of it that are done.
      history: One entry for each finished epoch of the phase.
      best_epoch: Index in `history` of the best validation MRR@20, or None.
      finished: Whether the phase has ended.
      seconds: Time spent in the phase's training steps.
      selected: Results of the selection, for a refit.
    """

    phase: str
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best_epoch: int | None = None
    finished: bool = False
    seconds: float = 0.0
    selected: dict[str, Any] = dataclasses.field(default_factory=dict)


class _SavedProgress(tf.train.experimental.PythonState):
    """`Progress` as a part of a TensorFlow checkpoint, so that both are always of one step."""

    def __init__(self, value: Progress) -> None:
        super().__init__()
        self.value = value

    def serialize(self) -> str:
        """Serialize for a checkpoint that TensorFlow writes."""
        return json.dumps(dataclasses.asdict(self.value))

    def deserialize(self, string_value: str) -> None:
        """Restore from a checkpoint that TensorFlow reads."""
        self.value = Progress(**json.loads(string_value))


class TrainingCheckpoint:
    """Model, optimiser, running loss and progress, saved together.

    TensorFlow writes each checkpoint under a temporary name, and the file that
    names the newest one last, so a kill at any moment leaves a complete one.

    Args:
      context: The run; the chief's checkpoint is that of all workers.
      progress: The progress of a phase that starts from its beginning.
      model: The model.
      **parts: What else is saved, by name: the optimiser and the running loss.
    """

    def __init__(self, context: RunContext, progress: Progress, model: Any, **parts: Any) -> None:
        self._workers, self._directory = context.workers, context.directory
        self._model = model
        self._variables = [
            variable
            for part in (model, *parts.values())
            # An optimiser has a method where models and metrics have a property.
            for variable in (part.variables() if callable(part.variables) else part.variables)
        ]
        self._progress = _SavedProgress(progress)
        self._seconds = 60 * context.config.training.checkpoint_minutes
        self._latest = _newest(context.directory, progress=self._progress, model=model, **parts)
        self._best = context.directory.weights_of(model)
        self._saved_at = time.monotonic()

    @property
    def progress(self) -> Progress:
        """The progress of the phase."""
        return self._progress.value

    def restore(self) -> bool:
        """Resume from the newest checkpoint, if it is one of this phase.

        Raises:
          HlnError: The checkpoint is damaged.
        """
        saved = saved_progress(self._directory, self._workers)
        if saved is None or saved.phase != self.progress.phase:
            return False
        if self._workers.is_chief:
            self._latest.restore()
        self._progress.value = saved
        self._workers.broadcast_variables(self._variables)
        return True

    def restore_best(self) -> None:
        """Load the model's best weights.

        Raises:
          HlnError: They are missing or damaged.
        """
        if self._workers.is_chief and not self._best.restore():
            raise HlnError(
                f"{self._directory.path} has lost the weights of its best epoch: remove "
                f"{self._directory.checkpoints} to train from the start"
            )
        self._workers.broadcast_variables(self._model.variables)

    def save(self) -> None:
        """Save the checkpoint now."""
        if self._workers.is_chief:
            self._latest.save()
        self._saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """Save the checkpoint if the last one is old enough."""
        if time.monotonic() - self._saved_at >= self._seconds:
            self.save()

    def save_best(self) -> None:
        """Save the model's weights as the best so far."""
        if self._workers.is_chief:
            self._best.save()


def saved_progress(directory: RunDirectory, workers: Workers) -> Progress | None:
    """Read the progress of a run's newest checkpoint, the chief's on all workers.

    Raises:
      HlnError: The checkpoint is damaged.
    """
    found = None
    if workers.is_chief:
        saved = _SavedProgress(Progress(""))
        if _newest(directory, progress=saved).restore():
            found = dataclasses.asdict(saved.value)
    found = workers.broadcast_object(found)
    return None if found is None else Progress(**found)


def _newest(directory: RunDirectory, **parts: Any) -> NewestCheckpoint:
    path = directory.checkpoints
    return NewestCheckpoint(path, f"remove {path} to train from the start", **parts)
