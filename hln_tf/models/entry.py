"""The entry of a model in the registry. Imports no TensorFlow."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from hln_tf.common.errors import SettingError
from hln_tf.common.settings import check_names
from hln_tf.models.settings import EncoderSettings


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    Attributes:
      settings: Its settings dataclass.
      implementation: Its class, or `module:class`, imported when the model is made.
      presets: Settings by preset name, of the model and of the training.
    """

    settings: type
    implementation: str | type
    presets: dict[str, dict[str, Any]] = dataclasses.field(default_factory=lambda: {"paper": {}})

    def create(self, num_items: int, **arguments: Any) -> Any:
        """Create the model; imports TensorFlow."""
        if isinstance(self.implementation, type):
            return self.implementation(num_items, **arguments)
        module, _, name = self.implementation.partition(":")
        return getattr(importlib.import_module(module), name)(num_items, **arguments)

    def preset(self, name: str | None) -> dict[str, Any]:
        """Return the settings of a preset, of the first one by default.

        Raises:
          UsageError: There is no such preset.
        """
        name = next(iter(self.presets)) if name is None else name
        if name not in self.presets:
            raise SettingError("preset", name, f"one of: {', '.join(self.presets)}")
        return self.presets[name]

    def split(self, *settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split settings by name into those of the model and those of its training.

        Args:
          *settings: Later ones override earlier ones.
        """
        own = {field.name for field in dataclasses.fields(self.settings)}
        merged = {name: value for each in settings for name, value in each.items()}
        of_model = {name: value for name, value in merged.items() if name in own}
        return of_model, {name: value for name, value in merged.items() if name not in own}

    def check_presets(self, of_training: Sequence[str]) -> None:
        """Check the names of the presets' settings.

        Args:
          of_training: Names of the settings of the training.

        Raises:
          UsageError: A preset has an unknown setting; the message lists the known ones.
        """
        known = [*(field.name for field in dataclasses.fields(self.settings)), *of_training]
        for preset, values in self.presets.items():
            check_names(values, known, f"the preset {preset!r}")

    @property
    def class_name(self) -> str:
        """The name of its class."""
        if isinstance(self.implementation, type):
            return self.implementation.__name__
        return self.implementation.rpartition(":")[2]

    @property
    def is_own(self) -> bool:
        """True for the models of this package; others are registered or of another one."""
        named = self.implementation
        return isinstance(named, str) and named.startswith("hln_tf.")

    @property
    def is_encoder(self) -> bool:
        """True where the model encodes sessions and is trained by gradients; others count."""
        return issubclass(self.settings, EncoderSettings)
