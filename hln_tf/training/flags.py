"""The flags that define a run, shared by training and search. Imports no TensorFlow."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hln_tf import cli
from hln_tf.data.sources import CUSTOM, SOURCES
from hln_tf.models.settings import MODELS, model_entry
from hln_tf.training.settings import TrainingSettings

# Settings of the training that apply to a model which only counts.
COUNTING = ("refit", "max_length", "evaluation_batch_size")


def parse(
    arguments: Sequence[str],
    prog: str,
    description: str | None,
    epilog: str = "",
    add_more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> tuple[argparse.Namespace, Any, TrainingSettings]:
    """Parses a command line whose flags depend on the model and the preset.

    Args:
      arguments: The arguments after the program's name.
      prog: The command, for `--help`.
      description: What it does, for `--help`.
      epilog: The end of `--help`.
      add_more: Adds the command's own flags.

    Returns:
      The parsed flags, the model's settings and the training's settings.

    Raises:
      UsageError: A flag or value is not allowed.
    """
    first = cli.Parser(add_help=False)
    first.add_argument("--model", default="hln")
    first.add_argument("--preset")
    chosen = first.parse_known_args(arguments)[0]
    entry = model_entry(chosen.model)
    preset = entry.presets.get(chosen.preset or next(iter(entry.presets), ""), {})

    parser = cli.Parser(prog=prog, description=description, epilog=epilog)
    add = parser.add_argument
    names = (*SOURCES, CUSTOM)
    text = f"data set by name; {CUSTOM}: a log of your own, with --spec and --input"
    add("--dataset", required=True, choices=names, help=text)
    add("--data_dir", type=Path, help="prepared data set (default: data/DATASET)")
    add("--raw_dir", type=Path, default=Path("data/raw"), help="raw logs (default: %(default)s)")
    text = "raw logs, in place of those in --raw_dir"
    add("--input", nargs="+", type=Path, metavar="RAW", default=[], help=text)
    text = "how the rows of a log of your own are written; see python -m beam_preprocess --help"
    add("--spec", type=Path, metavar="YAML", help=text)
    add("--separator", help="joins item ids in a session, when the data set is prepared")
    add("--workdir", type=Path, help="directory of the run (default: below runs/DATASET)")
    add("--init_from", type=Path, help="workdir of an older model to start from")
    add("--model", default="hln", choices=tuple(MODELS), help="model (default: %(default)s)")
    add_more(parser)
    if entry.is_encoder:
        presets = tuple(entry.presets)
        text = "named settings that other flags override (default: %(default)s)"
        add("--preset", default=presets[0], choices=presets, help=text)
        cli.add_settings(parser, TrainingSettings, "training", preset)
    else:
        cli.add_settings(parser, TrainingSettings, "training", only=COUNTING)
    cli.add_settings(parser, entry.settings, f"model {chosen.model}", preset)

    flags = parser.parse_args(arguments)
    own = {field.name for field in dataclasses.fields(entry.settings)}
    of_model = {name: value for name, value in preset.items() if name in own}
    of_training = {name: value for name, value in preset.items() if name not in own}
    model_settings: Any = cli.settings_from(entry.settings, flags, of_model)
    return flags, model_settings, cli.settings_from(TrainingSettings, flags, of_training)
