"""Definition of a search, and its directory.

```
WORKDIR/
  search.json         the search space, the algorithm and the settings of the first trial
  oracle.json         the trials and the rest of KerasTuner's state
  trial_0000/         the run directory of a trial; trial 0 has the default settings
    crashes           number of times that its process died while the trial was running
    failure.txt       the reason of its failure
  workers/            a heartbeat file for each worker
  best_config.json    settings of the best trial
  trials.csv          all trials
  importance.png      hyperparameter importance, also as SVG
```
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.data.layout import VOCABULARY
from hln_tf.training import RunConfig, RunDirectory
from tuning.space import Space

SEARCH, ORACLE = "search.json", "oracle.json"
TUNERS = ("bayesian", "hyperband", "random")

# Entries that Hyperband adds to the hyperparameters of a trial.
EPOCHS, PARENT = "tuner/epochs", "tuner/trial_id"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
      workdir: Its directory.
      data_dir: The data set; its test split is never read.
      base: The run whose settings the first trial has.
      space: The search space.
      tuner: One of `TUNERS`.
      hyperband: Hyperband's `max_epochs`, `factor` and `iterations`; empty for others.
      max_trials: Number of trials; None for Hyperband.
    """

    workdir: Path
    data_dir: Path
    base: RunConfig
    space: Space
    tuner: str
    hyperband: Mapping[str, int]
    max_trials: int | None

    def config(self, hyperparameters: Mapping[str, Any]) -> RunConfig:
        """Return the configuration of the run of a trial with these hyperparameters."""
        training = self.space.apply(hyperparameters, self.base.training)
        if EPOCHS in hyperparameters:
            training = dataclasses.replace(training, epochs=hyperparameters[EPOCHS])
        return dataclasses.replace(
            self.base,
            model_settings=self.space.apply(hyperparameters, self.base.model_settings),
            training=training,
        )

    def run_directory(self, trial_id: str) -> RunDirectory:
        """Return the run directory of a trial."""
        return RunDirectory(self.workdir / f"trial_{int(trial_id):04d}")

    @property
    def vocabulary(self) -> Path:
        """The data set's vocabulary file."""
        return self.data_dir / VOCABULARY

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
            raise HlnError(f"{self.workdir} is not a directory: choose another --workdir")
        remedy = "wait for it to end, or choose another --workdir"
        is_new = not (self.workdir / SEARCH).is_file()
        if is_new and self.workdir.exists():
            if any(not entry.name.startswith(".") for entry in self.workdir.iterdir()):
                raise HlnError(
                    f"{self.workdir} is not empty and contains no search: choose another --workdir"
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
        remedy = "name the --workdir of a search of python -m tuning.search"
        stored = files.read_json(path, remedy)
        choose = "choose another --workdir, or give the same flags"
        if not isinstance(stored, dict) or set(stored) != set(self._description()):
            raise HlnError(
                f"{path} does not describe a search: restore it, or choose another --workdir"
            )
        for name, wanted in self._description().items():
            if name != "base" and stored[name] != wanted:
                raise HlnError(
                    f"{self.workdir} contains another search, with {name} {stored[name]}, not "
                    f"{wanted}: {choose}"
                )
        difference = self.base.first_difference(RunConfig.from_dict(stored["base"], str(path)))
        if difference:
            name, mine, found = difference
            raise HlnError(
                f"{self.workdir} contains another search, with {name} = {found!r}, not {mine!r}: "
                f"{choose}"
            )

    def _description(self) -> dict[str, Any]:
        return {
            "tuner": self.tuner,
            "hyperband": dict(self.hyperband),
            "space": self.space.to_dict(),
            "base": self.base.to_dict(),
        }
