"""Trains a model: `python -m hln_tf.train --dataset yoochoose4`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_preprocess.on_demand import ensure_prepared
from hln_tf.analysis.comparison import table
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.text import read_separator
from hln_tf.data.layout import MANIFEST, VOCABULARY
from hln_tf.training.cluster import Cluster
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.run_flags import parse
from hln_tf.training.settings import DataDescription, RunConfig, TensorBoardSettings

EXAMPLES = """examples:
  python -m hln_tf.train --dataset sample --preset demo
  python -m hln_tf.train --dataset sample --preset demo --tensorboard
  python -m hln_tf.train --dataset yoochoose64 --raw_dir ~/yoochoose --refit
  python -m hln_tf.train --dataset yoochoose64 --model markov
  python -m hln_tf.train --config runs/sample/search/best_config.json
  python -m hln_tf.train --dataset lastfm --loss sampled --num_negatives 2048
  python -m hln_tf.train --dataset custom --spec my_log.yaml --input clicks.csv

All GPUs of the machine are used. Several machines train together where TF_CONFIG names them as
chief and worker: start the same command on each, with the data set prepared; the first alone reads
and writes the workdir.
"""


def main(arguments: Sequence[str]) -> None:
    """Prepares the data where needed, trains, evaluates and exports."""
    flags, model_settings, training = parse(
        arguments, "python -m hln_tf.train", __doc__, epilog=EXAMPLES, add_more=add_flags
    )
    told = cli.settings_from(TensorBoardSettings, flags)
    if flags.separator is not None:
        flags.separator = read_separator(flags.separator)
    cluster = Cluster.from_environment()
    data_dir = flags.data_dir or Path("data") / flags.dataset
    if cluster.is_several and not (data_dir / MANIFEST).is_file():
        raise HlnError(
            f"{data_dir} is not a prepared data set: workers that train together do not prepare "
            f"one, write it first with python -m beam_preprocess"
        )
    options = [] if flags.separator is None else ["--separator", flags.separator]
    manifest = ensure_prepared(
        flags.dataset,
        data_dir,
        flags.raw_dir,
        flags.data_dir is not None,
        flags.input,
        flags.spec,
        options,
    )
    if flags.separator not in (None, manifest.separator):
        raise UsageError(
            f"--separator is {flags.separator!r}, but {data_dir} was prepared with "
            f"{manifest.separator!r}: leave the flag out or prepare another --data_dir"
        )
    config = RunConfig(
        model=flags.model,
        model_settings=model_settings,
        training=training,
        data=DataDescription.from_manifest(manifest, data_dir),
        init_from=str(flags.init_from) if flags.init_from else None,
    )
    workdir = RunDirectory(flags.workdir or Path("runs") / flags.dataset / flags.model)
    if not cluster.is_chief:
        train(config, workdir, data_dir, cluster, told)
        return
    with workdir.locked():
        workdir.begin(config, data_dir / VOCABULARY)
        if told.tensorboard:
            command = ["tensorboard", "--logdir", str(workdir.events())]
            print(f"to watch: {shlex.join(command)}", file=sys.stderr)
        train(config, workdir, data_dir, cluster, told)
        print(table([workdir.path]))


def add_flags(parser: cli.Parser) -> None:
    """Adds the flags of what a run leaves beside its results."""
    cli.add_settings(parser, TensorBoardSettings, "TensorBoard")


def train(
    config: RunConfig,
    workdir: RunDirectory,
    data_dir: Path,
    cluster: Cluster,
    told: TensorBoardSettings,
) -> None:
    """Trains unless the run is finished; imports TensorFlow where there is something to do.

    Args:
      config: The run.
      workdir: Its directory, begun; only the chief reads or writes it.
      data_dir: The data set.
      cluster: The workers that train together.
      told: What TensorBoard is told.
    """
    is_finished = cluster.is_chief and workdir.metrics() is not None
    if cluster.is_several or not is_finished:
        cli.import_tensorflow()
        from hln_tf.training.distribution import Workers
        from hln_tf.training.run import train_and_evaluate

        workers = Workers(cluster)
        with workers.working():
            is_finished = workers.same_run(config, is_finished)
            if not is_finished:
                train_and_evaluate(config, workdir, data_dir, workers, told)
                return
    print(f"{workdir.path} is finished, nothing to do", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.run(main))
