"""A model with its settings, as the flag `--models` names it. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import declared_fields, value_type
from hln_tf.models import model_entry, model_names
from hln_tf.training import TrainingSettings, parse
from hln_tf.training.run_flags import COUNTING

# Settings of runs that a row does not have.
OF_RUNS = ("seed", "refit")


@dataclasses.dataclass(frozen=True)
class ModelPreset:
    """A model with one of its presets.

    Attributes:
      model: Name of the model.
      preset: Name of the preset.
      changes: Settings that override the preset's, by name, as flags have them.
    """

    model: str
    preset: str
    changes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ModelPreset":
        """Parse `MODEL`, `MODEL:PRESET` or `MODEL:PRESET:NAME=VALUE,NAME=VALUE`.

        The default preset is `paper`.

        Raises:
          UsageError: There is no such model, preset or setting; the message lists those that
            exist.
        """
        model, _, rest = text.partition(":")
        preset, _, listed = rest.partition(":")
        if model not in model_names():
            known = ", ".join(model_names())
            raise UsageError(f"--models has {text!r}, expected models among: {known}")
        preset = preset or "paper"
        presets = model_entry(model).presets
        if preset not in presets:
            known = ", ".join(f"{model}:{name}" for name in presets)
            raise UsageError(f"--models has {text!r}, but {model} has the presets: {known}")
        parsed = cls(model, preset, tuple(sorted(_changes(text, model, listed).items())))
        if parsed.changes:
            try:
                parsed.settings()
            except UsageError as error:
                raise UsageError(f"--models has {text!r}: {error}") from None
        return parsed

    def __str__(self) -> str:
        settings = [f"{name} {value}" for name, value in self.changes]
        return f"{self.model} ({', '.join([self.preset, *settings])})"

    @property
    def directory_name(self) -> str:
        """Its name as that of a directory."""
        return "-".join([self.model, self.preset, *self.change_texts])

    @property
    def change_texts(self) -> list[str]:
        """Its changed settings, each as `NAME=VALUE`."""
        return [f"{name}={value}" for name, value in self.changes]

    @property
    def flags(self) -> list[str]:
        """Its flags of `hln_tf.train`."""
        return ["--model", self.model, "--preset", self.preset, *as_flags(dict(self.changes))]

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
        """Return its settings of the model and of the training."""
        arguments = ("--dataset", "sample", *self.flags)
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


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """List the flags of `hln_tf.train` that give settings, values or their texts by name."""
    flags = []
    for name, value in settings.items():
        text = str(value)
        if text in ("True", "False"):
            flags.append(f"--{name}" if text == "True" else f"--no-{name}")
        else:
            flags += [f"--{name}", text]
    return flags


def _changes(text: str, model: str, listed: str) -> dict[str, str]:
    """Parse `NAME=VALUE,NAME=VALUE`, the settings of a row of `--models`."""
    entry, changes = model_entry(model), {}
    fields = {field.name: (field, entry.settings) for field in declared_fields(entry.settings)}
    for field in declared_fields(TrainingSettings):
        if field.name not in OF_RUNS and (entry.is_encoder or field.name in COUNTING):
            fields[field.name] = field, TrainingSettings
    for change in filter(None, listed.split(",")):
        name, _, value = change.partition("=")
        if name not in fields or not value:
            raise UsageError(
                f"--models has {text!r}, whose {change!r} is no setting of {model} as NAME=VALUE; "
                f"it has {', '.join(fields)}"
            )
        if name in changes:
            raise UsageError(f"--models has {text!r}, which has {name} twice: give it once")
        if value_type(*fields[name])[0] is bool and value not in ("True", "False"):
            raise UsageError(f"--models has {text!r}, expected {name}=True or {name}=False")
        changes[name] = value
    return changes
