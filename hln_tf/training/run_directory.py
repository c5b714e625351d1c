"""The directory of a run: settings, checkpoint, model and results.

```
RUN/
  config.json       all settings
  vocabulary.txt    the item ids, as in the data set
  checkpoint/       the newest checkpoint, from which the run resumes
  model/            the weights of the best epoch so far, in the end those of the chosen model
  metrics.json      the results; written last, and only a finished run has it
  events/           event files of TensorBoard
  pictures/         pictures by python -m hln_tf.visualize
  export/1/         the model as a SavedModel
```
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hln_tf.analysis.runs import CONFIG, EVENTS, METRICS, find_results
from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import Location, as_location, join
from hln_tf.data import stores
from hln_tf.data.layout import (
    MANIFEST,
    SPLITS,
    VOCABULARY,
    Manifest,
    read_item_ids,
    vocabulary_text,
)
from hln_tf.models.registry import model_entry
from hln_tf.training.run_config import RunConfig, Selection

if TYPE_CHECKING:
    from hln_tf.models.base import SessionScorer
    from hln_tf.training.checkpoints import NewestCheckpoint

WEIGHTS = "weights"
# Directories of a run that are made of its final model.
LEFT_BY_RUNS = ("pictures", "export")
# What is copied of a run in an object store: all but its checkpoint and `LEFT_BY_RUNS`.
_COPIED = (CONFIG, VOCABULARY, METRICS, "model/*", f"{EVENTS}/*", "ranks-*.parquet")


class RunDirectory:
    """The directory of a run.

    Args:
      path: Its path; `begin` creates it. A finished run may be in an object store: its
        URL is that of a copy then, which new files are written to.

    Attributes:
      location: Its path or URL as it was named, by which others find it too.
      path: Its path on this machine.
      checkpoints: The directory of the newest checkpoint.
      weights: The directory of the one copy of the model's weights.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.location = as_location(path)
        self.path = stores.local_copy(self.location, _COPIED)
        self.checkpoints = self.path / "checkpoint"
        self.weights = self.path / "model"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory for this process; the lock ends with the process.

        Raises:
          HlnError: Another process has locked it, or it is not a run's directory.
        """
        self._check_contents()
        remedy = "wait for it to end, or choose another `workdir`"
        with files.process_lock(self.path / ".lock", str(self.path), remedy):
            yield

    def begin(
        self,
        config: RunConfig,
        vocabulary: Path | Sequence[str],
        overwrite: bool | None = None,
    ) -> RunConfig:
        """Write the settings of a new run, or check that the present run has the same.

        A run for fewer epochs goes on, a finished one too; one with other settings is
        replaced if it has saved nothing that would be lost.

        Args:
          config: The run's settings.
          vocabulary: The file of the data set's item ids, or the item ids.
          overwrite: Whether to replace any run with other settings; None where the
            caller offers no such choice.

        Returns:
          The run's settings, with what the machine that began it chose.

        Raises:
          HlnError: The directory contains a run with other settings, `vocabulary`
            is damaged, or `init_from` is no run that can be started from.
        """
        if (self.path / CONFIG).is_file():
            there = self.config()
            wanted, config = config, config.settled(there)
            difference = config.first_difference(there)
            if difference is None:
                return config
            if config.extends(there):
                # What is left is older than what the run is going to be.
                self._clear(weights=False)
                files.write_json(self.path / CONFIG, config.to_dict())
                return config
            if not overwrite and self._has_saved():
                offer = "remove this one" if overwrite is None else "pass `overwrite` to replace it"
                remedy = f"choose another `workdir`, or {offer}"
                raise HlnError(f"{self._describe_difference(there, config, difference)}: {remedy}")
            config = wanted
        config = config.settled()
        if isinstance(vocabulary, Path):
            remedy = "write the data set again with python -m beam_preprocess"
            vocabulary = read_item_ids(vocabulary, config.data.vocabulary_sha256, remedy)
        if config.init_from:
            warm_start_run(config)
        self._clear()
        with files.atomic_write(self.path / VOCABULARY) as temporary:
            temporary.write_bytes(vocabulary_text(vocabulary))
        files.write_json(self.path / CONFIG, config.to_dict())
        return config

    def _has_saved(self) -> bool:
        return (self.path / METRICS).exists() or any(self.checkpoints.glob("*.index"))

    def _describe_difference(
        self, there: RunConfig, config: RunConfig, difference: tuple[str, Any, Any]
    ) -> str:
        name, wanted, found = difference
        if name not in config.CHECKSUMS:
            return f"{self.path} holds a run with {name} = {found!r}, not {wanted!r}"
        older, newer = (each.data.directory or "a table of clicks" for each in (there, config))
        return (
            f"{self.path} holds a run on {older} as it was then, and {newer} was prepared from "
            f"another log or with other settings"
        )

    def _clear(self, weights: bool = True) -> None:
        """Remove what a run leaves, but for its settings: a killed process can go on with it."""
        (self.path / METRICS).unlink(missing_ok=True)
        for path in map(self.ranks, SPLITS):
            path.unlink(missing_ok=True)
        removed = [self.path / name for name in LEFT_BY_RUNS]
        if weights:
            removed += [self.checkpoints, self.weights, self.path / EVENTS]
        for path in removed:
            if path.exists():
                shutil.rmtree(path)

    def forget_training(self) -> None:
        """Remove the checkpoint, so that the run trains from the start."""
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)

    def _check_contents(self) -> None:
        """Raise an error if the directory contains something other than a run."""
        if self.path.exists() and not self.path.is_dir():
            raise HlnError(f"{self.path} is not a directory: choose another `workdir`")
        if not self.path.exists() or (self.path / CONFIG).is_file():
            return
        # A run that was killed in `begin` leaves no other files than these.
        if any(
            entry.name not in (".lock", VOCABULARY) and not entry.name.endswith(".tmp")
            for entry in self.path.iterdir()
        ):
            raise HlnError(f"{self.path} is not empty and holds no run: choose another `workdir`")

    def config(self) -> RunConfig:
        """Read the run's settings.

        Raises:
          HlnError: There is no run here, or its settings cannot be read.
        """
        path = self.path / CONFIG
        remedy = "name the `workdir` of a run of python -m hln_tf.train"
        return RunConfig.from_dict(files.read_json(path, remedy), str(path))

    def vocabulary(self) -> list[str]:
        """Read the item ids; that of item i is at index i - 1.

        Raises:
          HlnError: The file is missing or damaged.
        """
        remedy = "train again in another `workdir`"
        checksum = self.config().data.vocabulary_sha256
        return read_item_ids(self.path / VOCABULARY, checksum, remedy)

    def data_dir(self, named: Location | None = None, has_same_items: bool = True) -> Location:
        """Return the data set's directory or URL: `named`, or else the one of the training.

        Args:
          named: Another directory.
          has_same_items: Whether it must have the items of the model.

        Raises:
          HlnError: There is no data set, or it has other items than it must have.
        """
        data = self.config().data
        directory = named or as_location(data.directory)
        if named is None and not (data.directory and stores.is_file(join(directory, MANIFEST))):
            where = f"is no longer in {directory}" if data.directory else "was a table of clicks"
            raise HlnError(
                f"the data set of {self.path} {where}: name the directory of the same data set "
                f"with `data_dir`"
            )
        found = Manifest.read(directory).vocabulary_sha256
        if has_same_items and found != data.vocabulary_sha256:
            raise HlnError(
                f"{directory} has other items than the data set of {self.path}: "
                f"name the data set that the model was trained on with `data_dir`"
            )
        return directory

    def copy_to(self, path: Path) -> "RunDirectory":
        """Copy the run to another directory, which must be missing or empty.

        Raises:
          HlnError: It is not.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise HlnError(f"{path} exists already: choose another directory, or remove it")
        with files.atomic_directory(path) as temporary:
            ignored = shutil.ignore_patterns(".lock")
            shutil.copytree(self.path, temporary, dirs_exist_ok=True, ignore=ignored)
        return RunDirectory(path)

    def events(self, part: str = "") -> Path:
        """Return the directory of the event files of one part of the run, or of all.

        Args:
          part: `selection`, `refit` or `results`, see `hln_tf.training.tensorboard`.
        """
        return self.path / EVENTS / part

    def ranks(self, split: str) -> Path:
        """Return the path of the table of ranked examples of a part, written or not."""
        return self.path / f"ranks-{split}.parquet"

    def metrics(self) -> dict[str, Any] | None:
        """Read the results, or return None if the run is not finished.

        Raises:
          HlnError: The results are damaged.
        """
        return find_results(self.path)

    def finish(self, content: dict[str, Any]) -> None:
        """Write the results, by which the run is finished."""
        files.write_json(self.path / METRICS, content)

    def weights_of(self, model: "SessionScorer") -> "NewestCheckpoint":
        """Return the run's one copy of a model's weights, to save or to restore."""
        from hln_tf.training.checkpoints import NewestCheckpoint

        remedy = f"it must fit {CONFIG}; train again in another `workdir`"
        return NewestCheckpoint(self.weights, remedy, WEIGHTS, model=model)

    def model(self, **changes: Any) -> "SessionScorer":
        """Load the run's model with its weights.

        Args:
          **changes: Changed settings of the model that affect no weights, such
            as `inference_gate`.

        Raises:
          HlnError: The run is not finished, or its weights are damaged or do not
            fit its settings.
        """
        import tensorflow as tf

        config = self.config()
        settings = dataclasses.replace(config.model_settings, **changes)
        model = dataclasses.replace(config, model_settings=settings).create_model()
        model(tf.zeros([1, 1], tf.int32))
        if self.metrics() is None or not self.weights_of(model).restore(is_whole=True):
            raise HlnError(
                f"{self.path} holds no trained model yet: run python -m hln_tf.train with the "
                f"settings and the `workdir` of its training to finish it"
            )
        model.workdir = str(self.path)
        return model


def existing_run(path: str) -> Path:
    """Return the path of a run that is only read, of a URL that of its copy: a type of flags."""
    return RunDirectory(path).path


def new_run(path: str) -> Path:
    """Return the path of a run that is written: a type of flags.

    Raises:
      UsageError: It is a URL.
    """
    return files.written_here(path, "workdir")


def warm_start_run(config: RunConfig) -> RunDirectory:
    """Return the directory of the run whose weights a run starts from.

    Args:
      config: The settings of the new run, which name the older one in `init_from`.

    Raises:
      HlnError: There is no finished run.
      UsageError: The model has no weights, or the older run has another model.
    """
    assert config.init_from is not None
    older = RunDirectory(config.init_from)
    found = older.config()
    if not model_entry(config.model).is_encoder:
        raise UsageError(f"`init_from` does not apply to {config.model}: it has no weights")
    if found.model != config.model:
        raise UsageError(
            f"`init_from` {older.path} holds the model {found.model}, not {config.model}: name a "
            f"run of {config.model}"
        )
    for field in dataclasses.fields(config.model_settings):
        there, wanted = (getattr(each.model_settings, field.name) for each in (found, config))
        if there != wanted and field.metadata.get("weights", True):
            raise UsageError(
                f"`init_from` {older.path} holds {found.model} with {field.name} {there!r}, not "
                f"{wanted!r}, so that its weights do not fit: give the same {field.name}"
            )
    if older.metrics() is None:
        raise HlnError(f"`init_from` {older.path} holds no trained model yet: finish its training")
    return older


def with_selection(config: RunConfig, location: Location) -> RunConfig:
    """Return the settings of a run with the epoch that another run's validation chose.

    Args:
      config: The settings, without one.
      location: The other run.

    Raises:
      HlnError: It is not a finished run.
      UsageError: There are no epochs to choose, or the other run has other settings.
    """
    if not model_entry(config.model).is_encoder:
        raise UsageError(f"`selection` does not apply to {config.model}: it has no epochs")
    if not config.training.refit:
        raise UsageError(
            "`selection` is given without `refit`: the epoch is that of a training on full "
            "train, so give `refit` too"
        )
    other = RunDirectory(location)
    remedy = "name a finished run of python -m hln_tf.train with `selection`"
    values = files.read_json(other.path / CONFIG, remedy)
    there = RunConfig.from_dict(values, str(other.path / CONFIG))
    difference = config.settled(there).first_difference(there, config.SELECTED)
    if difference is not None:
        name, wanted, found = difference
        what = f"{name} {found!r}, not {wanted!r}"
        if name in config.CHECKSUMS:
            what = "another data set"
        raise UsageError(
            f"`selection` {other.path} has {what}: name a run that differs in the seed alone"
        )
    results = other.metrics()
    if results is None:
        raise HlnError(f"`selection` {other.path} has no results yet: finish its training")
    epoch = results.get("best_epoch")
    if not isinstance(epoch, int) or epoch < 1:
        raise HlnError(
            f"{other.path / METRICS} has the best_epoch {epoch!r}, expected a number from 1: "
            f"train this run again, or name another one with `selection`"
        )
    return dataclasses.replace(config, selection=Selection(str(location), epoch))


def load_model(workdir: str | os.PathLike[str]) -> "SessionScorer":
    """Load the trained model of a run directory.

    Raises:
      HlnError: The directory contains no finished run.
    """
    return RunDirectory(workdir).model()
