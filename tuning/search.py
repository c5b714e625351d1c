"""Search hyperparameters by validation MRR@20: `python -m tuning.search --dataset sample`.

KerasTuner chooses the trials from the search space that the settings declare.
The first trial has the settings that the flags give. A search that was
interrupted resumes when it is started again with the same flags.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_preprocess import on_demand
from beam_preprocess.on_demand import Preparation
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.layout import MANIFEST
from hln_tf.models import model_entry
from hln_tf.training import (
    Cluster,
    DataDescription,
    RunConfig,
    RunDirectory,
    TensorBoardSettings,
    parse,
)
from tuning.plan import TUNERS, Plan
from tuning.space import Space
from tuning.trial import TrainFunction
from tuning.workers import Role, WorkerMonitor, connect_to_chief, heartbeat, serve_oracle

MAX_TRIALS, FACTOR, ITERATIONS = 10, 3, 1
HYPERBAND = ("max_epochs", "factor", "iterations")

EXAMPLES = """examples:
  python -m tuning.search --dataset sample --preset demo --max_trials 20
  python -m tuning.search --dataset yoochoose64 --tuner hyperband --max_epochs 9
  python -m tuning.search --dataset sample --search learning_rate,dropout --range dropout=0:0.3

Several processes share a search if the environment of each has KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT, the chief's address, and KERASTUNER_TUNER_ID, its own name: chief for the
one that chooses the trials and trains none, other names for the workers. Start the same command in
each; they share the data set and the workdir.
"""


def add_flags(parser: cli.Parser) -> None:
    """Add the search's own flags."""
    add = parser.add_argument_group("search").add_argument
    add(
        "--tuner",
        choices=TUNERS,
        default=TUNERS[0],
        help="search algorithm (default: %(default)s)",
    )
    text = f"number of trials, with bayesian and random (default: {MAX_TRIALS})"
    add("--max_trials", type=int, help=text)
    text = "epochs of the longest trials, with hyperband (default: --epochs of the preset)"
    add("--max_epochs", type=int, help=text)
    text = f"reduction factor: one in FACTOR trials is promoted, with hyperband (default: {FACTOR})"
    add("--factor", type=int, help=text)
    text = f"repetitions of the whole hyperband algorithm (default: {ITERATIONS})"
    add("--iterations", type=int, help=text)
    text = "hyperparameters to search (default: all)"
    add("--search", metavar="NAME,NAME", help=text)
    text = "range of a hyperparameter, replaces the declared one; may be repeated"
    add("--range", action="append", default=[], metavar="NAME=LOW:HIGH", help=text)
    text = "timeout in seconds of a worker's heartbeats and of the chief's answers "
    add("--worker_timeout", type=float, default=300.0, help=f"{text}(default: %(default)g)")
    cli.add_settings(parser, TensorBoardSettings, "TensorBoard, for each trial")
    on_demand.add_flags(parser)


def read_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, Any, Any]:
    """Parse the command line and check all that does not depend on the data.

    Args:
      arguments: The arguments after the program's name.

    Returns:
      The parsed flags with the `Space` as `space`, the model's settings and the
      training's settings.

    Raises:
      UsageError: A flag or value is not allowed, or they contradict each other.
    """
    flags, model_settings, training = parse(
        arguments, "python -m tuning.search", __doc__, epilog=EXAMPLES, add_more=add_flags
    )
    is_trained = model_entry(flags.model).is_encoder
    searched = [model_settings, training] if is_trained else [model_settings]
    if not Space.from_settings(searched).hyperparameters:
        raise UsageError(f"--model is {flags.model!r}, which has no settings to search")
    if flags.init_from:
        raise UsageError("--init_from does not apply to a search: leave it out")
    if Cluster.from_environment().is_several:
        raise UsageError(
            "TF_CONFIG names several workers of one training, but each trial of a search trains "
            "in one process: unset it"
        )
    is_hyperband = flags.tuner == "hyperband"
    if is_hyperband and not is_trained:
        raise UsageError(
            f"--tuner hyperband allocates epochs, and --model {flags.model} has none: "
            f"use bayesian or random"
        )
    for name in ("max_trials", "epochs") if is_hyperband else HYPERBAND:
        if getattr(flags, name, None) is not None:
            instead = ", ".join(f"--{each}" for each in HYPERBAND) if is_hyperband else ""
            raise UsageError(
                f"--{name} does not apply to --tuner {flags.tuner}: "
                f"{f'its flags are {instead}' if instead else 'its flag is --max_trials'}"
            )
    defaults = {
        "max_trials": (MAX_TRIALS, 1),
        "max_epochs": (training.epochs, 1),
        "factor": (FACTOR, 2),
        "iterations": (ITERATIONS, 1),
    }
    for name, (default, minimum) in defaults.items():
        value = getattr(flags, name)
        setattr(flags, name, default if value is None else value)
        if getattr(flags, name) < minimum:
            raise UsageError(f"--{name} is {value}, expected at least {minimum}")
    if not flags.worker_timeout > 0:
        raise UsageError(f"--worker_timeout is {flags.worker_timeout:g}, expected more than 0")
    names = None if flags.search is None else [name.strip() for name in flags.search.split(",")]
    flags.space = Space.from_settings(searched, names, flags.range)
    return flags, model_settings, training


def main(arguments: Sequence[str]) -> None:
    """Run a search, or a worker of one, and report its results."""
    flags, model_settings, training = read_flags(arguments)
    role = Role.from_environment()
    preparation = Preparation.from_flags(flags)
    data_dir = preparation.data_dir
    if role.is_worker and not (data_dir / MANIFEST).is_file():
        raise HlnError(
            f"{data_dir} is not a prepared data set: the workers of a search do not prepare one, "
            f"start the chief first, or write it with python -m beam_preprocess"
        )
    manifest = preparation.ensure()
    is_hyperband = flags.tuner == "hyperband"
    plan = Plan(
        workdir=flags.workdir or Path("runs") / preparation.name / "search",
        data_dir=data_dir,
        base=RunConfig(
            flags.model, model_settings, training, DataDescription.from_manifest(manifest, data_dir)
        ),
        space=flags.space,
        tuner=flags.tuner,
        hyperband={name: getattr(flags, name) for name in HYPERBAND} if is_hyperband else {},
        max_trials=None if is_hyperband else flags.max_trials,
    )
    tensorboard = cli.settings_from(TensorBoardSettings, flags)
    if role.is_worker:
        run_worker(plan, role, flags.worker_timeout, tensorboard)
        return
    with plan.locked():
        cli.import_tensorflow()
        search(plan, role, flags.worker_timeout, tensorboard)


def search(plan: Plan, role: Role, worker_timeout: float, tensorboard: TensorBoardSettings) -> None:
    """Search in this process or as the chief of several, and write and print the results.

    Args:
      plan: The search, whose directory is locked.
      role: Role of this process.
      worker_timeout: Seconds without a heartbeat after which a worker is lost.
      tensorboard: TensorBoard settings of each trial.
    """
    from tuning.oracle import create_oracle
    from tuning.results import Results, print_progress
    from tuning.tuner import Tuner

    oracle = create_oracle(plan, on_end=lambda trial: print_progress(plan, oracle, trial))
    with StopOnSignal() as stop:
        if not oracle.is_complete:
            if role.is_chief:
                monitor = WorkerMonitor(oracle, plan.heartbeats, worker_timeout)
                serve_oracle(Tuner(plan, oracle, None, stop), monitor, role.address, stop.check)
            else:
                for worker in list(oracle.ongoing_trials):
                    oracle.requeue(worker)
                Tuner(plan, oracle, trainer(plan, stop, tensorboard), stop).search(verbose=0)
    if len(oracle.trials) < oracle.planned_trials:
        trials = f"{len(oracle.trials)} of {oracle.planned_trials} trials"
        print(f"ended after {trials}: the search space is exhausted", file=sys.stderr)
    results = Results.from_search(plan, oracle)
    results.write()
    print(results.describe())


def run_worker(plan: Plan, role: Role, timeout: float, tensorboard: TensorBoardSettings) -> None:
    """Run trials for a chief until no trial is left.

    Args:
      plan: The search.
      role: Role of this process.
      timeout: Seconds to wait for an answer of the chief.
      tensorboard: TensorBoard settings of each trial.
    """
    cli.import_tensorflow()
    from tuning.oracle import create_oracle
    from tuning.tuner import Tuner

    with StopOnSignal() as stop:
        tuner = Tuner(plan, create_oracle(plan), trainer(plan, stop, tensorboard), stop)
        connect_to_chief(tuner.oracle, role.address, timeout)
        tuner.oracle.get_space()  # An answer implies that the chief has written search.json.
        plan.check_same()
        with heartbeat(plan.heartbeats, role.name):
            tuner.search()
    print(f"the search in {plan.workdir} has ended; the chief reports the results")


def trainer(plan: Plan, stop: StopOnSignal, tensorboard: TensorBoardSettings) -> TrainFunction:
    """Return a function that trains a run of the search and returns its validation MRR@20.

    Args:
      plan: The search.
      stop: Interrupts the training at a signal.
      tensorboard: TensorBoard settings of each run.
    """
    import tensorflow as tf
    import tf_keras as keras

    from hln_tf.data.sessions import read_sessions
    from hln_tf.training import OBJECTIVE, Run

    tf.get_logger().setLevel("ERROR")  # Otherwise it warns of the retracing in each trial.
    train, validation = (read_sessions(plan.data_dir, split) for split in ("train", "validation"))

    def train_run(config: RunConfig, directory: RunDirectory) -> float:
        try:
            run = Run(config, directory, tensorboard=tensorboard, stop=stop)
            return run.fit(train, validation).results["validation"][OBJECTIVE]
        finally:
            # Free the trial's model and graphs before those of the next trial are built.
            keras.backend.clear_session()
            gc.collect()

    return train_run


if __name__ == "__main__":
    sys.exit(cli.run(main))
