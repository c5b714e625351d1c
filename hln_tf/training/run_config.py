"""The settings and the data set that define a run, as `config.json` records them."""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hln_tf.common import __version__
from hln_tf.common.errors import HlnError, SettingError, UsageError
from hln_tf.common.files import Location
from hln_tf.common.settings import checked, from_dict
from hln_tf.data.layout import Manifest, vocabulary_text
from hln_tf.models.registry import model_entry, recorded_settings
from hln_tf.training.precision import AUTO, fastest_precision
from hln_tf.training.settings import TrainingSettings, check_loss

if TYPE_CHECKING:
    from hln_tf.data.dataset import SessionDataset


@dataclasses.dataclass(frozen=True)
class DataDescription:
    """The data set of a run.

    Attributes:
      dataset: Its name.
      directory: Its directory at the time of the training, or its URL.
      separator: Separator of item ids if a session is written as one string.
      items: Size of the catalogue.
      vocabulary_sha256: Checksum of the item vocabulary.
      fingerprint: Checksum of its input, settings and counts, see `Manifest`.
    """

    dataset: str
    directory: str
    separator: str
    items: int
    vocabulary_sha256: str
    fingerprint: str

    def __post_init__(self) -> None:
        checked(self)

    @classmethod
    def from_manifest(cls, manifest: Manifest, directory: Location) -> "DataDescription":
        """Create the description of a prepared data set directory."""
        return cls(
            dataset=manifest.dataset,
            directory=str(directory.resolve() if isinstance(directory, Path) else directory),
            separator=manifest.separator,
            items=manifest.items,
            vocabulary_sha256=manifest.vocabulary_sha256,
            fingerprint=manifest.fingerprint(),
        )

    @classmethod
    def from_dataset(cls, dataset: "SessionDataset") -> "DataDescription":
        """Create the description of a data set in memory or in a directory."""
        if dataset.directory is not None:
            return cls.from_manifest(Manifest.read(dataset.directory), dataset.directory)
        return cls(
            dataset=dataset.name,
            directory="",
            separator=dataset.separator,
            items=dataset.num_items,
            vocabulary_sha256=hashlib.sha256(vocabulary_text(dataset.item_ids)).hexdigest(),
            fingerprint=dataset.fingerprint,
        )


@dataclasses.dataclass(frozen=True)
class Selection:
    """The choice of a run's epoch by another run's validation.

    Attributes:
      run: Directory of the other run, as it was named.
      epoch: The epoch, from 1.
    """

    run: str
    epoch: int

    def __post_init__(self) -> None:
        checked(self)
        if self.epoch < 1:
            raise SettingError("selection", self.epoch, "an epoch from 1")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings that define a run, recorded in `config.json`.

    Attributes:
      model: Name of the model.
      model_settings: Settings of the model.
      training: Settings of the training.
      data: The data set.
      init_from: Directory of the run whose weights it starts from, or None.
      selection: The choice of its epoch, where another run has made it, or None.
      version: Version of the package that started the run.
    """

    model: str
    model_settings: Any
    training: TrainingSettings
    data: DataDescription
    init_from: str | None = None
    selection: Selection | None = None
    version: str = __version__

    def __post_init__(self) -> None:
        check_loss(self.model_settings, self.training)
        if self.selection is not None and not self.training.refit:
            raise SettingError(
                "refit", False, "True with a `selection`, whose epoch is that of a refit"
            )

    # Settings that may change when a run is resumed: they do not affect its result.
    RESUMABLE = (
        "data.directory",
        "selection.run",
        "training.checkpoint_minutes",
        "training.evaluation_batch_size",
        "training.execution",
        "training.score_megabytes",
        "training.steps_per_execution",
        "version",
    )

    # Settings in which a run may differ from the one that chooses its epoch.
    SELECTED = (
        "selection.epoch",
        "training.epochs",
        "training.patience",
        "training.refit",
        "training.seed",
    )

    # Settings that differ where the data sets do.
    CHECKSUMS = ("data.fingerprint", "data.vocabulary_sha256")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "RunConfig":
        """Create a config from the plain values that `to_dict` returns.

        Args:
          values: The values.
          source: Their file, for errors.

        Raises:
          HlnError: A setting is unknown, missing or not allowed.
        """
        try:
            typed = {
                "model_settings": recorded_settings(
                    values["model"], values["model_settings"], source
                ),
                "training": from_dict(TrainingSettings, values["training"], source),
                "data": from_dict(DataDescription, values["data"], source),
            }
            if values.get("selection") is not None:
                typed["selection"] = from_dict(Selection, values["selection"], source)
            return from_dict(cls, {**values, **typed}, source)
        except (AttributeError, KeyError, TypeError, UsageError) as error:
            raise HlnError(
                f"{source} is not a run's config ({error}): restore it, or train again in "
                f"another `workdir`"
            ) from None

    def flat(self) -> dict[str, Any]:
        """Return all settings by dotted name, such as `training.batch_size`."""
        values: dict[str, Any] = {}
        for name, value in self.to_dict().items():
            if isinstance(value, dict):
                values.update({f"{name}.{key}": inner for key, inner in value.items()})
            else:
                values[name] = value
        return values

    def first_difference(
        self, other: "RunConfig", ignored: Collection[str] = ()
    ) -> tuple[str, Any, Any] | None:
        """Return the first setting by which the results of two runs differ.

        Args:
          other: The settings of the other run.
          ignored: Dotted names of settings that may differ.

        Returns:
          The dotted name and the two values, this config's first; None if the two
          runs have the same results.
        """
        mine, theirs = self.flat(), other.flat()
        names = {*mine, *theirs} - {*self.RESUMABLE, *ignored}
        # The checksums are the least informative differences, so they come last.
        for name in sorted(names, key=lambda name: (name in self.CHECKSUMS, name)):
            if mine.get(name) != theirs.get(name):
                return name, mine.get(name), theirs.get(name)
        return None

    def settled(self, other: "RunConfig | None" = None) -> "RunConfig":
        """Choose what is left to the machine: the precision `auto`.

        Args:
          other: The same run's settings as they were settled before, whose choice
            stays; without, this machine's.
        """
        if self.training.precision != AUTO:
            return self
        precision = other.training.precision if other else fastest_precision()
        return dataclasses.replace(
            self, training=dataclasses.replace(self.training, precision=precision)
        )

    def extends(self, other: "RunConfig") -> bool:
        """Return whether this is the same run as another one, but for more epochs."""
        epochs = other.training.epochs
        shorter = dataclasses.replace(self.training, epochs=epochs)
        same = dataclasses.replace(self, training=shorter).first_difference(other) is None
        return same and self.training.epochs > epochs

    def create_model(self) -> Any:
        """Create the model with initial weights; imports TensorFlow."""
        entry, settings = model_entry(self.model), dataclasses.asdict(self.settled().training)
        arguments = dataclasses.asdict(self.model_settings)
        arguments["score_megabytes"] = settings["score_megabytes"]
        if entry.is_encoder:
            from hln_tf.tasks.registry import get

            arguments["loss"] = get(settings.pop("loss"), **settings)
        return entry.create(self.data.items, **arguments)
