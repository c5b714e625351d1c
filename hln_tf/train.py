"""Trains a model: `python -m hln_tf.train --dataset yoochoose4`."""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf import cli
from hln_tf.data.layout import VOCABULARY, Manifest
from hln_tf.data.sources import SOURCES, prepare
from hln_tf.errors import UsageError
from hln_tf.models.settings import MODELS, ModelEntry, model_entry
from hln_tf.training.settings import DataDescription, RunConfig, TrainingSettings
from hln_tf.workdir import Workdir

EXAMPLES = """examples:
  python -m hln_tf.train --dataset sample --preset demo
  python -m hln_tf.train --dataset yoochoose64 --raw_dir ~/yoochoose --refit
  python -m hln_tf.train --dataset yoochoose64 --model markov
"""


def make_parser(name: str, entry: ModelEntry) -> argparse.ArgumentParser:
    """The flags of a model's training."""
    parser = cli.Parser(prog="python -m hln_tf.train", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--dataset", required=True, choices=tuple(SOURCES), help="data set by name")
    add("--data_dir", type=Path, help="prepared data set (default: data/DATASET)")
    add("--raw_dir", type=Path, default=Path("data/raw"), help="raw logs (default: %(default)s)")
    add("--separator", help="joins item ids in a session, when the data set is prepared")
    add("--workdir", type=Path, help="directory of the run (default: runs/DATASET/MODEL)")
    add("--init_from", type=Path, help="workdir of an older model to start from")
    add("--model", default=name, choices=tuple(MODELS), help="model (default: hln)")
    if entry.is_encoder:
        presets = tuple(entry.presets)
        text = "named settings that other flags override (default: %(default)s)"
        add("--preset", default=presets[0], choices=presets, help=text)
        cli.add_settings(parser, TrainingSettings, "training")
    else:
        parser.set_defaults(preset=None)
        add(
            "--refit",
            action="store_true",
            help="count validation's sessions too",
            default=argparse.SUPPRESS,
        )
    cli.add_settings(parser, entry.settings, f"model {name}")
    return parser


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Any, TrainingSettings]:
    """Parses the command line, whose flags depend on the model.

    Returns:
      The parsed flags, the model's settings and the training's settings.

    Raises:
      UsageError: A flag or value is not allowed.
    """
    first = cli.Parser(add_help=False)
    first.add_argument("--model", default="hln")
    name = first.parse_known_args(arguments)[0].model
    entry = model_entry(name)
    flags = make_parser(name, entry).parse_args(arguments)
    preset = entry.presets.get(flags.preset, {})
    model_names = [field.name for field in dataclasses.fields(entry.settings)]
    model_preset = {key: value for key, value in preset.items() if key in model_names}
    training_preset = {key: value for key, value in preset.items() if key not in model_names}
    model_settings: Any = cli.settings_from(entry.settings, flags, model_preset)
    return flags, model_settings, cli.settings_from(TrainingSettings, flags, training_preset)


def main(arguments: Sequence[str]) -> int:
    """Prepares the data where needed, trains, evaluates and exports."""
    flags, model_settings, training = parse(arguments)
    data_dir = flags.data_dir or Path("data") / flags.dataset
    options = [] if flags.separator is None else ["--separator", flags.separator]
    manifest = prepare(flags.dataset, data_dir, flags.raw_dir, flags.data_dir is not None, options)
    if flags.separator not in (None, manifest.separator):
        raise UsageError(
            f"--separator is {flags.separator!r}, but {data_dir} was prepared with "
            f"{manifest.separator!r}: leave the flag out or prepare another --data_dir"
        )
    config = RunConfig(
        model=flags.model,
        model_settings=model_settings,
        training=training,
        data=describe_data(manifest, data_dir),
        init_from=str(flags.init_from) if flags.init_from else None,
    )
    workdir = Workdir(flags.workdir or Path("runs") / flags.dataset / flags.model)
    with workdir.locked():
        workdir.begin(config, data_dir / VOCABULARY)
        if workdir.metrics() is None:
            cli.import_tensorflow()
            from hln_tf.training.interrupt import TrainingInterrupt
            from hln_tf.training.run import train_and_evaluate

            try:
                train_and_evaluate(config, workdir, data_dir)
            except TrainingInterrupt as interrupted:
                print(
                    f"stopped by {interrupted}; run the same command again to go on from here",
                    file=sys.stderr,
                )
                return 128 + int(interrupted.number)
        else:
            print(f"{workdir.path} is finished, nothing to do", file=sys.stderr)
        from hln_tf.report import table

        print(table([workdir.path]))
    return 0


def describe_data(manifest: Manifest, directory: Path) -> DataDescription:
    """What a run records of its data set."""
    return DataDescription(
        dataset=manifest.dataset,
        directory=str(directory),
        separator=manifest.separator,
        items=manifest.items,
        vocabulary_sha256=manifest.vocabulary_sha256,
    )


if __name__ == "__main__":
    # Python's own handler would interrupt imports; training installs a gentler one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(cli.run(main))
