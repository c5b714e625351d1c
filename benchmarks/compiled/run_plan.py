"""Trainings to be executed without TensorFlow, in a directory. Imports neither TensorFlow nor JAX.

```
DIR/
  plan.json             the runs, their programs and their data
  *.mlirbc              the programs
  data-*.npz            the sessions of a data set
  HASH.npy              initial weights, but for large item tables; one file for equal ones
```
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compiled.programs import Argument, Program, ProgramError, program_of
from benchmarks.session_files import from_arrays, to_arrays
from hln_tf.data.sessions import Sessions
from hln_tf.training.run_config import RunConfig

PLAN = "plan.json"
FORMAT = 1
# Lengths to which the sessions of a batch are padded: each needs programs of its own. Loops over
# the clicks after the first one do not compile for none.
LENGTHS = (2, 3, 5, 8, 14, 26)
# Examples that are ranked at a time, at most.
RANKED = 1024
TRAIN, RANK = "train", "rank"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A training and where its results belong.

    Attributes:
      workdir: Its run directory, by which it is named.
      config: Its settings.
      data: File of its sessions.
      programs: Name of the family of programs that it shares with runs of like settings.
      initial: Files of its initial weights, by the names of the programs' arguments.
      refit_initial: The same of a refit, whose samples of negatives count other clicks.
    """

    workdir: str
    config: RunConfig
    data: str
    programs: str
    initial: Mapping[str, str]
    refit_initial: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The trainings of a directory, and the programs that they need.

    Attributes:
      runs: The trainings.
      programs: By family, kind and length of sessions.
    """

    runs: Sequence[PlannedRun]
    programs: Mapping[tuple[str, str, int], Program]

    def write(self, directory: Path) -> None:
        """Write the list of a directory's runs and programs."""
        runs = [{**vars(run), "config": run.config.to_dict()} for run in self.runs]
        programs = [[*key, dataclasses.asdict(one)] for key, one in self.programs.items()]
        content = {"format": FORMAT, "runs": runs, "programs": programs}
        (directory / PLAN).write_text(json.dumps(content) + "\n", "utf-8")

    @classmethod
    def read(cls, directory: Path) -> "Plan":
        """Read the list of a directory's runs and programs.

        Raises:
          ProgramError: There is none, or it cannot be read.
        """
        path = directory / PLAN
        remedy = "write it with python -m benchmarks.accelerated_runs --emit"
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError("another version of this command wrote it")
            runs = [
                PlannedRun(**{**run, "config": RunConfig.from_dict(run["config"], str(path))})
                for run in content["runs"]
            ]
            programs = {
                (family, kind, length): program_of(entry)
                for family, kind, length, entry in content["programs"]
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProgramError(f"{path} cannot be read ({error}): {remedy}") from None
        return cls(runs, programs)

    def lengths(self, family: str, kind: str) -> list[int]:
        """List the lengths of a family's programs of a kind."""
        return sorted(key[2] for key in self.programs if key[:2] == (family, kind))


def variable_name(place: int) -> str:
    """Return the argument that is a model's variable, by its place: Keras' names may repeat."""
    return f"variable-{place}"


def is_variable(argument: str) -> bool:
    """Check whether an argument is a model's variable, and not the optimiser's."""
    return argument.startswith(variable_name(0)[:-1])


def weights_path(results: Path, number: int) -> Path:
    """Return the file of a run's weights among results."""
    return results / f"{number}-weights.npz"


def write_sessions(path: Path, parts: Mapping[str, Sessions]) -> None:
    """Write the parts of a data set."""
    np.savez_compressed(path, **to_arrays(parts))


def read_sessions(path: Path) -> dict[str, Sessions]:
    """Read what `write_sessions` wrote, by name of the part."""
    with np.load(path) as stored:
        return from_arrays(stored, {name.rpartition("_")[0] for name in stored})


def initial_state(
    directory: Path, run: PlannedRun, arguments: Sequence[Argument], is_refit: bool
) -> dict[str, Any]:
    """Make the arrays that a training starts from, by name.

    Args:
      directory: The directory of the plan.
      run: The run.
      arguments: Those of its programs.
      is_refit: Whether it is the refit.

    Returns:
      The stored weights; item tables sampled by the run's seed; constants.
    """
    stored = run.refit_initial if is_refit else run.initial
    state = {name: np.load(directory / file) for name, file in stored.items()}
    for argument in arguments:
        if argument.values == "stored" or argument.name in state:
            continue
        name = f"{argument.name}, seed {run.config.training.seed}"
        state[argument.name] = dataclasses.replace(argument, name=name).array()
    return state
