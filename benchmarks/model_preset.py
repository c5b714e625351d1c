"""A model with a preset, as the flag `--models` names it. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.models import model_entry, model_names
from hln_tf.training import TrainingSettings, parse
from hln_tf.training.run_flags import COUNTING


@dataclasses.dataclass(frozen=True)
class ModelPreset:
    """A model with one of its presets."""

    model: str
    preset: str

    @classmethod
    def parse(cls, text: str) -> "ModelPreset":
        """Parse `MODEL` or `MODEL:PRESET`; the default preset is `paper`.

        Raises:
          UsageError: There is no such model or preset; the message lists those that exist.
        """
        model, _, preset = text.partition(":")
        if model not in model_names():
            known = ", ".join(model_names())
            raise UsageError(f"--models has {text!r}, expected models among: {known}")
        preset = preset or "paper"
        presets = model_entry(model).presets
        if preset not in presets:
            known = ", ".join(f"{model}:{name}" for name in presets)
            raise UsageError(f"--models has {text!r}, but {model} has the presets: {known}")
        return cls(model, preset)

    def __str__(self) -> str:
        return f"{self.model} ({self.preset})"

    @property
    def is_trained(self) -> bool:
        """True if it is trained by gradients; other models count and have no randomness."""
        return model_entry(self.model).is_encoder

    def seeds(self, requested: Sequence[int]) -> Sequence[int]:
        """Return the seeds of its runs: one is enough for a model that counts."""
        return requested if self.is_trained else (TrainingSettings().seed,)

    def run_name(self, seed: int) -> str:
        """Name a run in messages."""
        return f"{self}, seed {seed}" if self.is_trained else str(self)

    def settings(self) -> tuple[Any, TrainingSettings]:
        """Return the preset's settings of the model and of the training."""
        arguments = ("--dataset", "sample", "--model", self.model, "--preset", self.preset)
        _, of_model, of_training = parse(arguments, "python -m hln_tf.train", None)
        return of_model, of_training

    def overrides(self, seed: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the training settings of a run that override the preset's, by name.

        Args:
          seed: Seed of the run.
          given: Settings of the command line; those that the model lacks are left out.
        """
        settings = {"refit": True, **given, "seed": seed}
        names = [name for name in settings if self.is_trained or name in COUNTING]
        return {name: settings[name] for name in names}
