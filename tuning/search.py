"""Searches settings by validation MRR@20: `python -m tuning.search --dataset sample`.

KerasTuner chooses the trials from ranges that the settings declare. The first
trial has the settings that the flags say. Run again with the same flags, a
search goes on where it stopped.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_preprocess.on_demand import ensure_prepared
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.layout import MANIFEST
from hln_tf.models.registry import model_entry
from hln_tf.training.cluster import VARIABLE, Cluster
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.run_flags import parse
from hln_tf.training.settings import DataDescription, RunConfig, TensorBoardSettings
from tuning.plan import TUNERS, Plan
from tuning.space import Space
from tuning.trial import Train
from tuning.workers import Chief, Role, follow, lead, present

MAX_TRIALS, FACTOR, ITERATIONS = 10, 3, 1
HYPERBAND = ("max_epochs", "factor", "iterations")

EXAMPLES = """examples:
  python -m tuning.search --dataset sample --preset demo --max_trials 20
  python -m tuning.search --dataset yoochoose64 --tuner hyperband --max_epochs 9
  python -m tuning.search --dataset sample --search learning_rate,dropout --range dropout=0:0.3

Several processes search together where the environment of each has KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT, the chief's address, and KERASTUNER_TUNER_ID, its own name: chief for the
one that chooses the trials and trains none, other names for the workers. Start the same command in
each; they share the data set and the workdir.
"""


def add_flags(parser: cli.Parser) -> None:
    """Adds the search's own flags."""
    add = parser.add_argument_group("search").add_argument
    add(
        "--tuner",
        choices=TUNERS,
        default=TUNERS[0],
        help="how trials are chosen (default: %(default)s)",
    )
    text = f"trials to run, with bayesian and random (default: {MAX_TRIALS})"
    add("--max_trials", type=int, help=text)
    text = "epochs of the longest trials, with hyperband (default: --epochs of the preset)"
    add("--max_epochs", type=int, help=text)
    text = f"of how many trials one goes on, with hyperband (default: {FACTOR})"
    add("--factor", type=int, help=text)
    text = f"how often all of hyperband is repeated (default: {ITERATIONS})"
    add("--iterations", type=int, help=text)
    text = "hyperparameters to search (default: all)"
    add("--search", metavar="NAME,NAME", help=text)
    text = "range of a hyperparameter in place of its own; may be repeated"
    add("--range", action="append", default=[], metavar="NAME=LOW:HIGH", help=text)
    text = "seconds after which a worker that shows no sign, or a chief that does not answer, is "
    add("--worker_timeout", type=float, default=300.0, help=f"{text}gone (default: %(default)g)")
    cli.add_settings(parser, TensorBoardSettings, "TensorBoard, of each trial")


def read_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, Any, Any]:
    """Parses the command line and checks what needs no data.

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
    if flags.init_from or flags.separator:
        raise UsageError("--init_from and --separator do not apply to a search: leave them out")
    if Cluster.from_environment().is_several:
        raise UsageError(
            f"{VARIABLE} names several workers of one training, but each trial of a search trains "
            f"in one process: unset it"
        )
    is_hyperband = flags.tuner == "hyperband"
    if is_hyperband and not is_trained:
        raise UsageError(
            f"--tuner hyperband shares out epochs, and --model {flags.model} has none: "
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
    """Searches, and tells what came of it."""
    flags, model_settings, training = read_flags(arguments)
    role = Role.from_environment()
    data_dir = flags.data_dir or Path("data") / flags.dataset
    is_explicit = flags.data_dir is not None
    if role.is_worker and not (data_dir / MANIFEST).is_file():
        raise HlnError(
            f"{data_dir} is not a prepared data set: the workers of a search do not prepare one, "
            f"start the chief first, or write it with python -m beam_preprocess"
        )
    manifest = ensure_prepared(
        flags.dataset, data_dir, flags.raw_dir, is_explicit, flags.input, flags.spec
    )
    is_hyperband = flags.tuner == "hyperband"
    plan = Plan(
        workdir=flags.workdir or Path("runs") / flags.dataset / "search",
        data_dir=data_dir,
        base=RunConfig(
            flags.model, model_settings, training, DataDescription.from_manifest(manifest, data_dir)
        ),
        space=flags.space,
        tuner=flags.tuner,
        hyperband={name: getattr(flags, name) for name in HYPERBAND} if is_hyperband else {},
        max_trials=None if is_hyperband else flags.max_trials,
    )
    told = cli.settings_from(TensorBoardSettings, flags)
    if role.is_worker:
        work(plan, role, flags.worker_timeout, told)
        return
    with plan.locked():
        cli.import_tensorflow()
        search(plan, role, flags.worker_timeout, told)


def search(plan: Plan, role: Role, worker_timeout: float, told: TensorBoardSettings) -> None:
    """Searches alone or as the chief, and writes and prints the results.

    Args:
      plan: The search, whose directory is held.
      role: What this process is.
      worker_timeout: Seconds after which a worker is gone.
      told: What TensorBoard is told of each trial.
    """
    from tuning import oracle as oracles
    from tuning.results import Results, report_end
    from tuning.tuner import Tuner

    oracle = oracles.create(plan, on_end=lambda trial: report_end(plan, oracle, trial))
    with StopOnSignal() as stop:
        if not oracle.is_complete:
            if role.is_chief:
                chief = Chief(oracle, plan.workers, worker_timeout)
                lead(Tuner(plan, oracle, None, stop), chief, role.address, stop.check)
            else:
                for worker in list(oracle.ongoing_trials):
                    oracle.put_back(worker)
                Tuner(plan, oracle, trainer(plan, stop, told), stop).search(verbose=0)
    if len(oracle.trials) < oracle.planned:
        trials = f"{len(oracle.trials)} of {oracle.planned} trials"
        print(f"ended after {trials}: nothing else is left to try", file=sys.stderr)
    results = Results.from_search(plan, oracle)
    results.write()
    print(results.describe())


def work(plan: Plan, role: Role, timeout: float, told: TensorBoardSettings) -> None:
    """Runs trials for a chief until nothing is left to do.

    Args:
      plan: The search.
      role: What this process is.
      timeout: Seconds to wait for the chief.
      told: What TensorBoard is told of each trial.
    """
    cli.import_tensorflow()
    from tuning import oracle as oracles
    from tuning.tuner import Tuner

    with StopOnSignal() as stop:
        tuner = Tuner(plan, oracles.create(plan), trainer(plan, stop, told), stop)
        follow(tuner.oracle, role.address, timeout)
        tuner.oracle.get_space()  # The chief has begun the search when it answers.
        plan.check_same()
        with present(plan.workers, role.name):
            tuner.search()
    print(f"the search in {plan.workdir} has ended; the chief tells what came of it")


def trainer(plan: Plan, stop: StopOnSignal, told: TensorBoardSettings) -> Train:
    """What trains a run of the search and returns its validation MRR@20.

    Args:
      plan: The search.
      stop: Says when to stop.
      told: What TensorBoard is told of each run.
    """
    import tensorflow as tf
    import tf_keras as keras

    from hln_tf.data.sessions import read_sessions
    from hln_tf.training.run import select
    from hln_tf.training.trainer import OBJECTIVE

    tf.get_logger().setLevel("ERROR")  # Else it warns that each trial has graphs of its own.
    if plan.base.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    train, validation = (read_sessions(plan.data_dir, split) for split in ("train", "validation"))

    def train_run(config: RunConfig, run: RunDirectory) -> float:
        try:
            _, results = select(config, run, train, validation, stop, told=told)
            return results["validation"][OBJECTIVE]
        finally:
            # A trial's model and its graphs leave before the next one's come.
            keras.backend.clear_session()
            gc.collect()

    return train_run


if __name__ == "__main__":
    sys.exit(cli.run(main))
