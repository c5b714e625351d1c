"""Trainings on a machine that has an accelerator and JAX: `python -m benchmarks.accelerated_runs`.

With `--execute` it imports no TensorFlow.
"""

import argparse
import dataclasses
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tuning.plan
from benchmarks.compiled.programs import ProgramError
from benchmarks.compiled.run_plan import Plan
from hln_tf import train
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.layout import Manifest
from hln_tf.training import run_flags
from hln_tf.training.run_config import DataDescription, RunConfig
from tuning import search

_DESCRIPTION = """\
Trains models where JAX finds an accelerator, be it without TensorFlow, with the steps of
python -m hln_tf.train. FILE has the arguments of that command, --workdir and --data_dir
included, in a line for each run; a line of the word search and arguments of python -m
tuning.search is the trials of a random search. --emit compiles the training step and
the ranking of targets for it, --execute runs epochs, validation, refit and test, and --collect
writes each run's directory: settings, metrics.json, the ranks of the test targets and the
weights. Of a run whose file of weights was left behind, --collect says so: report and compare
read it, and other commands, which need the model, do not. Noise, and the initial values of
large item tables, are other draws of the same distributions than those of hln_tf.train. XLA's
options are those of the environment's XLA_FLAGS: on a GPU, --xla_gpu_autotune_level=0 compiles
in a fifth of the time.

  python -m benchmarks.accelerated_runs --emit plan --runs runs.txt    # where TensorFlow is
  python -m benchmarks.accelerated_runs --execute plan --results found --at_once 4
  python -m benchmarks.accelerated_runs --collect plan --results found
"""


def main(arguments: Sequence[str]) -> None:
    """Emit, execute or collect trainings.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: A plan, or the results of one, are unusable.
    """
    parser = cli.Parser(prog="python -m benchmarks.accelerated_runs", description=_DESCRIPTION)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--emit", type=Path, metavar="DIR", help="write a plan into a directory")
    what.add_argument("--execute", type=Path, metavar="DIR", help="train the runs of a plan")
    what.add_argument("--collect", type=Path, metavar="DIR", help="write the run directories")
    add = parser.add_argument
    add("--runs", type=Path, metavar="FILE", help="the runs, for --emit")
    add("--results", type=Path, metavar="DIR", help="results, for --execute and --collect")
    text = "runs that are trained at a time, in threads (default: %(default)s)"
    add("--at_once", type=int, default=1, help=text)
    flags = parser.parse_args(arguments)
    needed = "runs" if flags.emit else "results"
    if getattr(flags, needed) is None:
        raise UsageError(f"--{needed} is missing")
    if flags.at_once < 1:
        raise UsageError(f"--at_once is {flags.at_once}, expected at least 1")
    try:
        if flags.emit:
            _emit(flags.emit, flags.runs)
        elif flags.execute:
            _execute(flags)
        else:
            _collect(flags.collect, flags.results)
    except ProgramError as error:
        raise HlnError(str(error)) from None


def _emit(directory: Path, path: Path) -> None:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise HlnError(f"{path} cannot be read: {error.strerror}") from None
    runs: dict[str, RunConfig] = {}
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise HlnError(f"{path}, line {number}: {error}") from None
        found = _trials(words[1:]) if words[:1] == ["search"] else _run(words) if words else {}
        for workdir, config in found.items():
            if str(workdir) in runs:
                raise UsageError(f"{path} names --workdir {workdir} twice")
            runs[str(workdir)] = config
    cli.import_tensorflow()
    from benchmarks.compiled.emit_runs import emit_runs

    plan = emit_runs(directory, list(runs.items()))
    print(f"{len(plan.runs)} runs with {len(plan.programs)} programs in {directory}")


def _run(arguments: Sequence[str]) -> dict[Path, RunConfig]:
    """Return the run of arguments of `hln_tf.train`, by its directory."""
    flags, model_settings, training = run_flags.parse(
        arguments, "python -m hln_tf.train", None, add_more=train.add_flags
    )
    return {flags.workdir: _config(flags, model_settings, training)}


def _trials(arguments: Sequence[str]) -> dict[Path, RunConfig]:
    """Return the trials of a random search, by their directories."""
    flags, model_settings, training = search.read_flags(arguments)
    if flags.settings.tuner != "random":
        raise UsageError("a search is of --tuner random: its trials do not depend on each other")
    base = _config(flags, model_settings, training)
    plan = tuning.plan.Plan(flags.workdir, [], base, flags.space, flags.settings)
    values: list[dict[str, Any]] = [plan.space.defaults()]
    for number in range(1, plan.settings.max_trials):
        random = np.random.default_rng([training.seed, number])  # as `tuning.oracle` does
        tried = [plan.space.key(one) for one in values]
        values += filter(None, [plan.space.sample(random, tried)])
    return {
        plan.trial_directory(str(number)): dataclasses.replace(
            base,
            model_settings=plan.space.apply(one, model_settings),
            training=plan.space.apply(one, training),
        )
        for number, one in enumerate(values)
    }


def _config(flags: argparse.Namespace, model_settings: Any, training: Any) -> RunConfig:
    if flags.workdir is None or flags.data_dir is None:
        raise UsageError("a run needs --workdir and --data_dir")
    given = {
        "--init_from": flags.init_from,
        "--selection": flags.selection or flags.stored_selection,
        "--deterministic": training.deterministic,
        "--tensorboard": getattr(flags, "tensorboard", False),
    }
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag} does not apply to a run without TensorFlow: leave it out")
    data = DataDescription.from_manifest(Manifest.read(flags.data_dir), flags.data_dir)
    return RunConfig(flags.model, model_settings, training, data)


def _execute(flags: argparse.Namespace) -> None:
    plan = Plan.read(flags.execute)
    try:
        from benchmarks.compiled.execute_runs import execute_runs
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("jax"):
            raise
        raise HlnError("--execute needs JAX: pip install jax, or jax[cuda13] for a GPU") from None
    failed = execute_runs(flags.execute, plan, flags.results, flags.at_once)
    if failed:
        raise HlnError(f"{len(failed)} of {len(plan.runs)} runs failed: {'; '.join(failed)}")


def _collect(directory: Path, results: Path) -> None:
    cli.import_tensorflow()
    from benchmarks.compiled.collect_runs import collect_runs

    written, without_weights, missing = collect_runs(directory, results)
    print(f"wrote {written} runs, {without_weights} of them without weights")
    if missing:
        raise HlnError(
            f"{results} lacks {len(missing)} runs, such as {missing[0]}: train them with --execute"
        )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(cli.run(main))
