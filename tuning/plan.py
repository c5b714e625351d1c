"""Definition of a search, and its directory.

```
WORKDIR/
  search.json         the search space, the algorithm and the settings of the first trial
  oracle.json         the trials and the rest of the oracle's state
  trial_0000/         the run directory of a trial; trial 0 has the default settings
    crashes           number of times that its process died while the trial was running
    failure.txt       the reason of its failure
    0-sample/         with several data sets: the run directory of each
  workers/            a heartbeat file for each worker
  best_config.json    settings of the best trial
  trials.csv          all trials
  importance.png      hyperparameter importance, also as SVG
  parallel.png        parallel coordinates of the trials, also as SVG
```
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.data.dataset import SessionDataset
from hln_tf.training import DataDescription, RunConfig, RunDirectory
from tuning.settings import EXTENSIBLE, SearchSettings
from tuning.space import Space

SEARCH, ORACLE = "search.json", "oracle.json"

# Entries that Hyperband adds to the hyperparameters of a trial, by KerasTuner's names.
EPOCHS, PARENT = "tuner/epochs", "tuner/trial_id"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
      workdir: Its directory.
      datasets: The data sets, whose validation parts score a trial together; their
        test parts are never read.
      base: The run whose settings the first trial has, on the first data set.
      space: The search space.
      settings: The settings of the algorithm.
    """

    workdir: Path
    datasets: Sequence[SessionDataset]
    base: RunConfig
    space: Space
    settings: SearchSettings

    @functools.cached_property
    def data(self) -> list[DataDescription]:
        """The descriptions of the data sets."""
        return [DataDescription.from_dataset(each) for each in self.datasets]

    @property
    def data_names(self) -> list[str]:
        """The names of the data sets, with a number where two have the same."""
        names = [each.dataset for each in self.data]
        is_unique = len(set(names)) == len(names)
        return names if is_unique else [f"{name}-{n}" for n, name in enumerate(names)]

    def config(self, hyperparameters: Mapping[str, Any], data: int = 0) -> RunConfig:
        """Return the configuration of the run of a trial.

        Args:
          hyperparameters: The trial's hyperparameters.
          data: Index of the data set.
        """
        training = self.space.apply(hyperparameters, self.base.training)
        if EPOCHS in hyperparameters:
            training = dataclasses.replace(training, epochs=hyperparameters[EPOCHS])
        return dataclasses.replace(
            self.base,
            model_settings=self.space.apply(hyperparameters, self.base.model_settings),
            training=training,
            data=self.data[data],
        )

    def trial_directory(self, trial_id: str) -> Path:
        """Return the directory of a trial."""
        return self.workdir / f"trial_{int(trial_id):04d}"

    def run_directories(self, trial_id: str) -> list[RunDirectory]:
        """Return the run directories of a trial, one for each data set."""
        directory = self.trial_directory(trial_id)
        if len(self.datasets) == 1:
            return [RunDirectory(directory)]
        names = [f"{n}-{each.name}" for n, each in enumerate(self.datasets)]
        return [RunDirectory(directory / name) for name in names]

    @property
    def oracle(self) -> Path:
        """The file of the oracle's state."""
        return self.workdir / ORACLE

    @property
    def heartbeats(self) -> Path:
        """The directory of the workers' heartbeat files."""
        return self.workdir / "workers"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Start or resume the search under its process lock.

        Raises:
          HlnError: Another process has the lock, or the directory contains
            something else or another search.
        """
        if self.workdir.exists() and not self.workdir.is_dir():
            raise HlnError(f"{self.workdir} is not a directory: choose another `workdir`")
        remedy = "wait for it to end, or choose another `workdir`"
        is_new = not (self.workdir / SEARCH).is_file()
        if is_new and self.workdir.exists():
            if any(not entry.name.startswith(".") for entry in self.workdir.iterdir()):
                raise HlnError(
                    f"{self.workdir} is not empty and contains no search: choose another `workdir`"
                )
        with files.process_lock(self.workdir / ".lock", str(self.workdir), remedy):
            if (self.workdir / SEARCH).is_file():
                self.check_same()
            else:
                files.write_json(self.workdir / SEARCH, self._description())
            yield

    def check_same(self) -> None:
        """Check that the directory contains this search.

        Raises:
          HlnError: It contains another one, or none; the message says what differs.
        """
        path = self.workdir / SEARCH
        stored = files.read_json(path, "name the `workdir` of a search of python -m tuning.search")
        choose = "choose another `workdir`, or give the same settings"
        wanted = self._description()
        if not isinstance(stored, dict) or set(stored) != set(wanted):
            raise HlnError(
                f"{path} does not describe a search of this version: choose another `workdir`"
            )
        for name in set(wanted) - {"base"}:
            if stored[name] != wanted[name]:
                raise HlnError(
                    f"{self.workdir} contains another search, with {name} {stored[name]}, not "
                    f"{wanted[name]}: {choose}"
                )
        difference = self.base.first_difference(RunConfig.from_dict(stored["base"], str(path)))
        if difference:
            name, mine, found = difference
            raise HlnError(
                f"{self.workdir} contains another search, with {name} = {found!r}, not {mine!r}: "
                f"{choose}"
            )

    def _description(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.settings)
        return {
            **{name: value for name, value in settings.items() if name not in EXTENSIBLE},
            "space": self.space.to_dict(),
            "base": self.base.to_dict(),
            "data": [each.fingerprint for each in self.data],
        }
