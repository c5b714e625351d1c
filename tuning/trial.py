"""One trial: a run of its own that goes on where it stopped, or fails for itself."""

import contextlib
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import RunConfig
from tuning.plan import PARENT, Plan

CRASHES, FAILURE = "crashes", "failure.txt"
MAX_CRASHES = 2

# Trains a run in its workdir and returns its objective.
Train = Callable[[RunConfig, RunDirectory], float]


class TrialError(HlnError):
    """A trial has failed; its workdir says why."""


def run_trial(plan: Plan, trial_id: str, drawn: Mapping[str, Any], train: Train) -> float:
    """Runs a trial, or what is left of it.

    Args:
      plan: The search.
      trial_id: The trial.
      drawn: Its hyperparameters. Where Hyperband names a trial to go on from,
        this one starts from a copy of its state.
      train: Trains a run in its workdir.

    Returns:
      The objective.

    Raises:
      TrialError: The training raised an exception, or the process died too
        often in it.
      HlnError: Another process is at this trial, or the data set or the
        trial's workdir is unusable, which is no fault of the trial's.
      OSError: The trial's workdir cannot be written.
    """
    run = plan.run(trial_id)
    with run.locked():
        config = plan.config(drawn)
        run.begin(config, plan.vocabulary)
        try:
            if PARENT in drawn:
                _copy_state(plan.run(drawn[PARENT]), run)
            with _crashes_counted(run.path / CRASHES):
                return train(config, run)
        except Exception as error:
            reason = str(error)
            if not isinstance(error, HlnError):
                reason = f"{type(error).__name__}: {reason or 'without a message'}"
                reason += f"\n\n{traceback.format_exc()}"
            with files.atomic_write(run.path / FAILURE) as temporary:
                temporary.write_text(f"{reason.rstrip()}\n", "utf-8")
            raise TrialError(reason.partition("\n")[0]) from None


def failure(run: RunDirectory) -> str:
    """Why a trial failed, in one line; empty where its workdir does not say."""
    path = run.path / FAILURE
    return path.read_text("utf-8").partition("\n")[0] if path.is_file() else ""


def _copy_state(parent: RunDirectory, run: RunDirectory) -> None:
    target = run.path / "selection"
    if not target.is_dir():
        with files.atomic_directory(target) as temporary:
            shutil.copytree(parent.path / "selection", temporary, dirs_exist_ok=True)


@contextlib.contextmanager
def _crashes_counted(path: Path) -> Iterator[None]:
    """Counts how often the process dies inside; any other end takes the count back."""
    crashes = int(path.read_text()) if path.is_file() else 0
    if crashes >= MAX_CRASHES:
        raise HlnError(f"its process died {crashes} times in it")
    if crashes:
        print(f"{path.parent.name}: its process died in it, it goes on", file=sys.stderr)
    with files.atomic_write(path) as temporary:
        temporary.write_text(f"{crashes + 1}\n")
    try:
        yield
    finally:
        with files.atomic_write(path) as temporary:
            temporary.write_text(f"{crashes}\n")
