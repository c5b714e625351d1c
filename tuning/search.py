"""Searches settings by validation MRR@20: `python -m tuning.search --dataset sample`.

A random search over the ranges that the settings declare. The first trial is
the preset itself. Run again with the same flags, it goes on where it stopped.
"""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf import cli
from hln_tf.data.layout import VOCABULARY
from hln_tf.data.sources import prepare
from hln_tf.errors import UsageError
from hln_tf.models.settings import model_entry
from hln_tf.training.flags import parse
from hln_tf.training.settings import DataDescription, RunConfig
from hln_tf.workdir import Workdir


def search(base: RunConfig, workdir: Path, data_dir: Path, max_trials: int) -> list[Any]:
    """Runs a search, or what is left of it.

    Args:
      base: The run whose settings the first trial takes.
      workdir: Where the search and its trials are kept.
      data_dir: The data set; its test split is never read.
      max_trials: Number of trials.

    Returns:
      The trials (`keras_tuner.engine.trial.Trial`), best first.
    """
    import keras_tuner

    from hln_tf.training.interrupt import StopOnSignal
    from hln_tf.training.run import read_sessions, select
    from tuning.space import draw

    train, validation = read_sessions(data_dir, "train"), read_sessions(data_dir, "validation")

    class Search(keras_tuner.RandomSearch):
        """Trains each trial as a run of its own."""

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            config = dataclasses.replace(
                base,
                model_settings=draw(trial.hyperparameters, base.model_settings),
                training=draw(trial.hyperparameters, base.training),
            )
            run = Workdir(workdir / f"trial_{trial.trial_id}")
            with run.locked(), StopOnSignal() as stop:
                run.begin(config, data_dir / VOCABULARY)
                _, results = select(config, run, train, validation, stop)
            return {"mrr@20": results["validation"]["mrr@20"]}

    tuner = Search(
        objective=keras_tuner.Objective("mrr@20", "max"),
        max_trials=max_trials,
        seed=base.training.seed,
        directory=str(workdir),
        project_name="search",
        overwrite=False,
    )
    tuner.search()
    return tuner.oracle.get_best_trials(max_trials)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the search's own flags."""
    text = "trials to run (default: %(default)s)"
    parser.add_argument("--max_trials", type=int, default=10, help=text)


def main(arguments: Sequence[str]) -> None:
    """Searches, and prints the trials and the command that trains the best."""
    flags, model_settings, training = parse(
        arguments, "python -m tuning.search", __doc__, add_more=add_flags
    )
    if flags.max_trials < 1:
        raise UsageError(f"--max_trials is {flags.max_trials}, expected at least 1")
    if not model_entry(flags.model).is_encoder:
        raise UsageError(f"--model is {flags.model!r}, which has no settings to search")
    if flags.init_from or flags.separator:
        raise UsageError("--init_from and --separator do not apply to a search: leave them out")
    data_dir = flags.data_dir or Path("data") / flags.dataset
    is_explicit = flags.data_dir is not None
    manifest = prepare(flags.dataset, data_dir, flags.raw_dir, is_explicit, flags.input, flags.spec)
    base = RunConfig(flags.model, model_settings, training, DataDescription.of(manifest, data_dir))
    workdir = flags.workdir or Path("runs") / flags.dataset / "search"
    # The preset as a run that is never trained: it holds the search against other settings and
    # other processes.
    record = Workdir(workdir / "base")
    with record.locked():
        record.begin(base, data_dir / VOCABULARY)
        cli.import_tensorflow()
        trials = search(base, workdir, data_dir, flags.max_trials)
    print("validation MRR@20 of each trial, in percent")
    for trial in trials:
        values = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}"
            for k, v in trial.hyperparameters.values.items()
        )
        print(f"{100 * trial.score:6.2f}  {values}")
    print("train the best: " + training_command(base, data_dir, trials[0].hyperparameters))


def training_command(base: RunConfig, data_dir: Path, hyperparameters: Any) -> str:
    """The command that trains with the settings of a trial."""
    from tuning.space import draw

    command = ["python", "-m", "hln_tf.train", "--dataset", base.data.dataset]
    command += ["--data_dir", str(data_dir), "--model", base.model]
    for settings in (base.model_settings, base.training):
        drawn = draw(hyperparameters, settings)
        for field in dataclasses.fields(drawn):
            value = getattr(drawn, field.name)
            if value == field.default:
                continue
            if isinstance(value, bool):
                command.append(f"--{field.name}" if value else f"--no-{field.name}")
            else:
                command.append(f"--{field.name}={value}")
    return shlex.join(command)


if __name__ == "__main__":
    sys.exit(cli.run(main))
