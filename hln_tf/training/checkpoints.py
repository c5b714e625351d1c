"""Checkpoints of which only the newest is retained."""

import re
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.common.errors import HlnError


class NewestCheckpoint:
    """A directory with the newest checkpoint of some objects.

    A new one is written under a number of its own before the older one is
    removed, so a kill at any moment leaves a complete one. The first one that
    is saved removes what a killed process left of others.

    Args:
      directory: The directory.
      remedy: The remedy for a damaged checkpoint, for errors.
      name: Prefix of its files.
      **parts: Trackable objects by name.
    """

    def __init__(self, directory: Path, remedy: str, name: str = "ckpt", **parts: Any) -> None:
        self._directory, self._remedy, self._name = directory, remedy, name
        self._has_saved = False
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=1, checkpoint_name=name
        )

    def save(self) -> None:
        """Save the objects as the newest checkpoint."""
        newest = self._manager.latest_checkpoint
        number = int(newest.rpartition("-")[2]) + 1 if newest else 1
        self._manager.save(checkpoint_number=number)
        if not self._has_saved:
            self._remove_leftovers(number)
            self._has_saved = True

    def _remove_leftovers(self, number: int) -> None:
        """Remove all but one checkpoint: a killed process leaves halves under other names."""
        newest = re.compile(rf"{self._name}-{number}\.(index|data-\d+-of-\d+)")
        for path in self._directory.iterdir():
            if path.name.startswith((f"{self._name}-", "checkpoint.tmp")):
                if path.is_dir():
                    shutil.rmtree(path)
                elif not newest.fullmatch(path.name):
                    path.unlink()

    def restore(self, is_whole: bool = False) -> bool:
        """Restore the objects from the newest checkpoint.

        Args:
          is_whole: Whether the checkpoint must have a value for every object.

        Returns:
          Whether there is one.

        Raises:
          HlnError: It is damaged.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            if (self._directory / "checkpoint").exists():
                raise HlnError(f"{self._directory / 'checkpoint'} is damaged: {self._remedy}")
            return False
        try:
            # A reader of the progress alone ignores the rest, without TensorFlow's warnings.
            restored = self._checkpoint.restore(newest).expect_partial()
            if is_whole:
                restored.assert_existing_objects_matched()
        except (ValueError, IndexError, AssertionError, tf.errors.OpError) as error:
            # TensorFlow reports a data file that is too short as an IndexError.
            reason = str(error).split("\n")[0]
            raise HlnError(f"{newest} is damaged ({reason}): {self._remedy}") from None
        return True
