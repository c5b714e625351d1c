"""A trial: a run that resumes after an interruption, and whose failure does not end the search."""

import contextlib
import functools
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError
from hln_tf.data.dataset import SessionDataset
from hln_tf.training import RunConfig, RunDirectory
from tuning.plan import PARENT, Plan

CRASHES, FAILURE = "crashes", "failure.txt"
MAX_CRASHES = 2

# Returns whether a training ends early, from the results of its epochs so far.
ShouldStop = Callable[[Sequence[Mapping[str, Any]]], bool]
# Trains a run in its run directory on a data set and returns its objective.
TrainFunction = Callable[[RunConfig, RunDirectory, SessionDataset, ShouldStop], float]


class TrialError(HlnError):
    """Failure of a trial; its directory has the reason."""


def run_trial(
    plan: Plan,
    trial_id: str,
    hyperparameters: Mapping[str, Any],
    train: TrainFunction,
    should_stop: Callable[[int, Sequence[Mapping[str, Any]]], bool] = lambda data, history: False,
) -> list[float]:
    """Run a trial, or resume it.

    Args:
      plan: The search.
      trial_id: Id of the trial.
      hyperparameters: Its hyperparameters. If they name a parent trial, as
        Hyperband's do, the trial starts from a copy of its parent's checkpoint.
      train: Trains a run in its run directory.
      should_stop: Returns whether the training on one of the data sets ends early.

    Returns:
      The objective on each data set.

    Raises:
      TrialError: The training raised an exception, or the process died in it
        too often.
      HlnError: Another process runs this trial, or the data set or the run
        directory is unusable: not a failure of the trial.
      OSError: The run directory cannot be written.
    """
    directory, runs = plan.trial_directory(trial_id), plan.run_directories(trial_id)
    configs = [plan.config(hyperparameters, data) for data in range(len(runs))]
    with contextlib.ExitStack() as locks:
        for data, (run, dataset) in enumerate(zip(runs, plan.datasets, strict=True)):
            locks.enter_context(run.locked())
            configs[data] = run.begin(configs[data], dataset.item_ids)
        try:
            if PARENT in hyperparameters:
                parents = plan.run_directories(hyperparameters[PARENT])
                for parent, run in zip(parents, runs, strict=True):
                    _copy_checkpoint(parent, run)
            with _counted_crashes(directory / CRASHES):
                return [
                    train(config, run, dataset, functools.partial(should_stop, data))
                    for data, (config, run, dataset) in enumerate(
                        zip(configs, runs, plan.datasets, strict=True)
                    )
                ]
        except Exception as error:
            if isinstance(error, HlnError):
                reason = cli.with_flags(str(error))
            else:
                reason = f"{type(error).__name__}: {str(error) or 'no message'}"
                reason += f"\n\n{traceback.format_exc()}"
            with files.atomic_write(directory / FAILURE) as temporary:
                temporary.write_text(f"{reason.rstrip()}\n", "utf-8")
            raise TrialError(reason.partition("\n")[0]) from None


def failure_reason(directory: Path) -> str:
    """Return the reason of a trial's failure in one line; empty if none is recorded."""
    path = directory / FAILURE
    return path.read_text("utf-8").partition("\n")[0] if path.is_file() else ""


def _copy_checkpoint(parent: RunDirectory, run: RunDirectory) -> None:
    """Copy the checkpoint and the best weights of the run that a trial continues."""
    for source, target in ((parent.weights, run.weights), (parent.checkpoints, run.checkpoints)):
        if not target.is_dir():
            with files.atomic_directory(target) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)


@contextlib.contextmanager
def _counted_crashes(path: Path) -> Iterator[None]:
    """Count the times that the process dies in the block; any other exit is not counted."""
    crashes = int(path.read_text()) if path.is_file() else 0
    if crashes >= MAX_CRASHES:
        raise HlnError(f"its process died {crashes} times during the trial")
    if crashes:
        print(
            f"{path.parent.name}: its process died during the trial, resuming it", file=sys.stderr
        )
    with files.atomic_write(path) as temporary:
        temporary.write_text(f"{crashes + 1}\n")
    try:
        yield
    finally:
        with files.atomic_write(path) as temporary:
            temporary.write_text(f"{crashes}\n")
