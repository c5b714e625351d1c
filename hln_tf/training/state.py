"""The state of a training, saved so that it can be taken up at any step."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.training.distribution import Workers


@dataclasses.dataclass
class Progress:
    """How far a training has come.

    Attributes:
      epoch: The epoch under way, from 0.
      step: Steps of it that are done.
      history: One entry for each finished epoch.
      best_epoch: Index in `history` of the best validation MRR@20, or None.
      finished: Whether the training has ended.
      seconds: Time spent in training steps.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best_epoch: int | None = None
    finished: bool = False
    seconds: float = 0.0


class _SavedProgress(tf.train.experimental.PythonState):
    """Makes `Progress` a part of a TensorFlow checkpoint: one file, one truth."""

    def __init__(self) -> None:
        super().__init__()
        self.value = Progress()

    def serialize(self) -> str:
        """Called by TensorFlow when a checkpoint is written."""
        return json.dumps(dataclasses.asdict(self.value))

    def deserialize(self, string_value: str) -> None:
        """Called by TensorFlow when a checkpoint is read."""
        self.value = Progress(**json.loads(string_value))


class TrainingState:
    """Weights, optimiser, running loss and progress, saved together.

    TensorFlow writes each checkpoint under a temporary name, and the file that
    names the newest one last, so a kill at any moment leaves a whole state.

    Args:
      directory: Where the states go.
      minutes: Time between saved states.
      workers: The workers of the training; the chief's states are those of all.
      parts: The trackable objects to save, by name.
    """

    def __init__(self, directory: Path, minutes: float, workers: Workers, **parts: Any) -> None:
        self._workers = workers
        self._variables = [
            variable
            for part in parts.values()
            # An optimiser has a method where models and metrics have a property.
            for variable in (part.variables() if callable(part.variables) else part.variables)
        ]
        self._model = parts["model"]
        self._progress = _SavedProgress()
        self._minutes = minutes
        checkpoint = tf.train.Checkpoint(progress=self._progress, **parts)
        self._latest = tf.train.CheckpointManager(checkpoint, str(directory / "latest"), 1)
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=parts["model"]), str(directory / "best"), 1
        )
        self._saved_at = time.monotonic()

    @property
    def progress(self) -> Progress:
        """How far the training has come."""
        return self._progress.value

    def restore(self) -> bool:
        """Takes up the newest saved state, if there is one.

        Raises:
          HlnError: The saved state is damaged.
        """
        found = self._workers.broadcast_object(self._workers.is_chief and _restore(self._latest))
        if found:
            self._progress.value = Progress(
                **self._workers.broadcast_object(dataclasses.asdict(self._progress.value))
            )
            self._workers.broadcast_variables(self._variables)
        return bool(found)

    def restore_best(self) -> None:
        """Gives the model its best weights.

        Raises:
          HlnError: They are missing or damaged.
        """
        if self._workers.is_chief and not _restore(self._best):
            directory = Path(self._best.directory)
            raise HlnError(
                f"the best weights in {directory} are missing: "
                f"remove {directory.parent} to train from the start"
            )
        self._workers.broadcast_variables(self._model.variables)

    def save(self) -> None:
        """Saves the state now."""
        if self._workers.is_chief:
            self._latest.save()
        self._saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """Saves the state where the last save lies long enough back."""
        if time.monotonic() - self._saved_at >= 60 * self._minutes:
            self.save()

    def save_best(self) -> None:
        """Keeps the model's weights as the best so far."""
        if self._workers.is_chief:
            self._best.save()


def _restore(manager: tf.train.CheckpointManager) -> bool:
    directory = Path(manager.directory)
    remedy = f"remove {directory.parent} to train from the start"
    if manager.latest_checkpoint is None and (directory / "checkpoint").exists():
        raise HlnError(f"{directory / 'checkpoint'} is damaged: {remedy}")
    try:
        return manager.restore_or_initialize() is not None
    except (ValueError, IndexError, tf.errors.OpError) as error:
        # TensorFlow reports a data file that is too short as an IndexError.
        reason = str(error).split("\n")[0]
        raise HlnError(
            f"the saved state {manager.latest_checkpoint} is damaged ({reason}): {remedy}"
        ) from None
