"""What a search is, and its directory.

```
WORKDIR/
  search.json         what is searched and how
  oracle.json         the trials so far and all that KerasTuner needs to go on
  trial_0000/         a run of its own; trial 0 has the default settings
    crashes           how often its process died, while it is under way
    failure.txt       why it failed, where it did
  workers/            one file for each worker that is there
  best_config.json    settings of the best trial
  trials.csv          all trials
  importance.png      which hyperparameters mattered, also as SVG
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
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import RunConfig
from tuning.space import Space

SEARCH = "search.json"
TUNERS = ("bayesian", "hyperband", "random")

# What Hyperband adds to the hyperparameters of a trial.
EPOCHS, PARENT = "tuner/epochs", "tuner/trial_id"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
      workdir: Its directory.
      data_dir: The data set; its test split is never read.
      base: The run whose settings the first trial takes.
      space: What is searched around them.
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

    def config(self, drawn: Mapping[str, Any]) -> RunConfig:
        """The run of a trial with these hyperparameters."""
        training = self.space.apply(drawn, self.base.training)
        if EPOCHS in drawn:
            training = dataclasses.replace(training, epochs=drawn[EPOCHS])
        return dataclasses.replace(
            self.base,
            model_settings=self.space.apply(drawn, self.base.model_settings),
            training=training,
        )

    def run(self, trial_id: str) -> RunDirectory:
        """The workdir of a trial."""
        return RunDirectory(self.workdir / f"trial_{int(trial_id):04d}")

    @property
    def vocabulary(self) -> Path:
        """The data set's items."""
        return self.data_dir / VOCABULARY

    @property
    def workers(self) -> Path:
        """Where workers show that they are there."""
        return self.workdir / "workers"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Begins the search, or takes it up, and holds it against other processes.

        Raises:
          HlnError: Another process holds it, or the directory holds something
            else or another search.
        """
        if self.workdir.exists() and not self.workdir.is_dir():
            raise HlnError(f"{self.workdir} is not a directory: choose another --workdir")
        remedy = "wait for it to end, or choose another --workdir"
        is_new = not (self.workdir / SEARCH).is_file()
        if is_new and self.workdir.exists():
            if any(not entry.name.startswith(".") for entry in self.workdir.iterdir()):
                raise HlnError(
                    f"{self.workdir} is not empty and holds no search: choose another --workdir"
                )
        with files.process_lock(self.workdir / ".lock", str(self.workdir), remedy):
            if (self.workdir / SEARCH).is_file():
                self.check_same()
            else:
                files.write_json(self.workdir / SEARCH, self._description())
            yield

    def check_same(self) -> None:
        """Checks that the directory holds this search.

        Raises:
          HlnError: It holds another one, or none; the message says what differs.
        """
        path = self.workdir / SEARCH
        remedy = "name the --workdir of a search of python -m tuning.search"
        there = files.read_json(path, remedy)
        choose = "choose another --workdir, or give the same flags"
        if not isinstance(there, dict) or set(there) != set(self._description()):
            raise HlnError(f"{path} describes no search: restore it, or choose another --workdir")
        for name, wanted in self._description().items():
            if name != "base" and there[name] != wanted:
                raise HlnError(
                    f"{self.workdir} holds another search, with {name} {there[name]}, not "
                    f"{wanted}: {choose}"
                )
        difference = self.base.first_difference(RunConfig.from_dict(there["base"], str(path)))
        if difference:
            name, mine, found = difference
            raise HlnError(
                f"{self.workdir} holds another search, with {name} = {found!r}, not {mine!r}: "
                f"{choose}"
            )

    def _description(self) -> dict[str, Any]:
        return {
            "tuner": self.tuner,
            "hyperband": dict(self.hyperband),
            "space": self.space.to_dict(),
            "base": self.base.to_dict(),
        }
