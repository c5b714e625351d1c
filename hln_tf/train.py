"""Train a model: `python -m hln_tf.train --dataset yoochoose4`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_preprocess import on_demand
from beam_preprocess.on_demand import Preparation
from hln_tf.analysis.comparison import mean_table, table
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import Location, as_location, join, name_of
from hln_tf.data import stores
from hln_tf.data.layout import MANIFEST, SPLITS, VOCABULARY
from hln_tf.training.cluster import Cluster
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.run_directory import RunDirectory, with_selection
from hln_tf.training.run_flags import parse
from hln_tf.training.settings import TensorBoardSettings

EXAMPLES = """examples:
  python -m hln_tf.train --dataset sample --preset demo
  python -m hln_tf.train --dataset sample --preset demo --tensorboard
  python -m hln_tf.train --dataset yoochoose64 --raw_dir ~/yoochoose --refit
  python -m hln_tf.train --dataset yoochoose64 --model markov
  python -m hln_tf.train --config runs/sample/search/best_config.json
  python -m hln_tf.train --config runs/1/config.json --seed 2 --selection runs/1 --workdir runs/2
  python -m hln_tf.train --dataset lastfm --loss sampled --num_negatives 2048
  python -m hln_tf.train --dataset custom --spec my_log.yaml --input clicks.csv

All GPUs of the machine are used. Several machines train together where TF_CONFIG names them as
chief and worker: start the same command on each, with the data set prepared; the first alone reads
and writes the run directory.
"""


def main(arguments: Sequence[str]) -> None:
    """Prepare the data if needed, train, evaluate and export."""
    flags, model_settings, training = parse(
        arguments, "python -m hln_tf.train", __doc__, epilog=EXAMPLES, add_more=add_flags
    )
    tensorboard = cli.settings_from(TensorBoardSettings, flags)
    if tensorboard.tensorboard:
        cli.require_extra("plots", ["matplotlib"])
    cluster = Cluster.from_environment()
    preparation = Preparation.from_flags(flags)
    if cluster.is_several and not stores.is_file(join(preparation.data_dir, MANIFEST)):
        raise HlnError(
            f"{preparation.data_dir} is not a prepared data set: workers that train together "
            f"do not prepare one, write it first with python -m beam_preprocess"
        )
    workdir = flags.workdir or Path("runs") / preparation.name / flags.model
    stored = None if flags.selection or not training.refit else flags.stored_selection
    if stored and flags.changed_since:
        raise UsageError(
            f"{flags.config} has the epoch that {stored.run} chose with {flags.changed_since}: "
            f"choose another one with --selection, or remove the file's selection"
        )
    found = preparation.ensure_all()
    several = len(found) > 1
    configs = {}
    for data_dir, manifest in found.items():
        config = RunConfig(
            model=flags.model,
            model_settings=model_settings,
            training=training,
            data=DataDescription.from_manifest(manifest, data_dir),
            init_from=str(flags.init_from) if flags.init_from else None,
            selection=stored,
        )
        if flags.selection:
            selection = join(flags.selection, name_of(data_dir)) if several else flags.selection
            config = with_selection(config, selection)
        configs[data_dir] = config
    directories = []
    for data_dir, config in configs.items():
        directory = RunDirectory(workdir / name_of(data_dir) if several else workdir)
        directories.append(directory.path)
        if not cluster.is_chief:
            train(config, directory, data_dir, cluster, tensorboard)
            continue
        is_default_refit = training.refit and "refit" not in flags
        train_and_export(config, directory, cluster, tensorboard, flags.overwrite, is_default_refit)
    if cluster.is_chief:
        print(table(directories))
        if several:
            print(f"\n{mean_table(directories)}")


def train_and_export(
    config: RunConfig,
    directory: RunDirectory,
    cluster: Cluster,
    tensorboard: TensorBoardSettings,
    overwrite: bool,
    is_default_refit: bool,
) -> None:
    """Train and export unless that is done, under the lock of the run's directory.

    Args:
      config: The run.
      directory: Its directory.
      cluster: The workers that train together; this one is their chief.
      tensorboard: What is logged for TensorBoard.
      overwrite: Whether to replace another run in the directory.
      is_default_refit: Whether there is a refit that the command line does not name.
    """
    data_dir = as_location(config.data.directory)
    with directory.locked():
        vocabulary = stores.local_copy(data_dir, [VOCABULARY]) / VOCABULARY
        config = directory.begin(config, vocabulary, overwrite)
        if is_default_refit and directory.metrics() is None:
            print(
                "the final model is trained on train and validation, as it is to know the newest "
                "items (--no-refit: on train alone)",
                file=sys.stderr,
            )
        if tensorboard.tensorboard:
            command = ["tensorboard", "--logdir", str(directory.events())]
            print(f"to watch: {shlex.join(command)}", file=sys.stderr)
        was_finished = train(config, directory, data_dir, cluster, tensorboard)
        was_exported = export(directory)
        if was_finished and was_exported:
            print(f"{directory.path} is finished, nothing to do", file=sys.stderr)


def add_flags(parser: cli.Parser) -> None:
    """Add the flags of preparation and TensorBoard."""
    cli.add_settings(parser, TensorBoardSettings, "TensorBoard")
    on_demand.add_flags(parser)


def train(
    config: RunConfig,
    directory: RunDirectory,
    data_dir: Location,
    cluster: Cluster,
    tensorboard: TensorBoardSettings,
) -> bool:
    """Train unless the run is finished; TensorFlow is imported only if there is something to do.

    Args:
      config: The run.
      directory: Its directory, begun; only the chief reads or writes it.
      data_dir: The data set.
      cluster: The workers that train together.
      tensorboard: What is logged for TensorBoard.

    Returns:
      Whether the run was finished before.
    """
    was_finished = cluster.is_chief and directory.metrics() is not None
    if was_finished and not cluster.is_several:
        return True
    cli.import_tensorflow()
    from hln_tf.data.sessions import read_sessions
    from hln_tf.training.distribution import Workers
    from hln_tf.training.run import Run, train_and_evaluate

    workers = Workers(cluster)
    with workers.working():
        config, was_finished = workers.same_run(config, was_finished)
        if not was_finished:
            with workers.stop_on_signal() as stop:
                run = Run(config, directory, workers, tensorboard, stop)
                of_train, validation = (read_sessions(data_dir, each) for each in SPLITS[:2])
                test = read_sessions(data_dir, "test", unknown=True)
                train_and_evaluate(run, of_train, validation, test)
    return was_finished


def export(directory: RunDirectory) -> bool:
    """Export a finished run as version 1 below its directory, unless that is there.

    Args:
      directory: The run's directory.

    Returns:
      Whether the version was there before.

    Raises:
      HlnError: The export failed; the run stays finished.
    """
    base = directory.path / "export"
    if (base / "1").is_dir():
        return True
    cli.import_tensorflow()
    from hln_tf.export.model_card import describe_run
    from hln_tf.recommender import Recommender

    config, results = directory.config(), directory.metrics() or {}
    try:
        recommender = Recommender.load(directory)
        path = recommender.export(base, describe_run(config, results), 1)
        print(f"exported {path}", file=sys.stderr)
    except Exception as error:
        reason = cli.describe_error(error)
        if reason is None:
            raise
        again = ["python", "-m", "serving.export", "--workdir", str(directory.path)]
        again += ["--output", str(base)]
        raise HlnError(
            f"the run in {directory.path} is finished, but its export failed ({reason}): repeat "
            f"it with {shlex.join(again)}"
        ) from None
    return False


if __name__ == "__main__":
    sys.exit(cli.run(main))
