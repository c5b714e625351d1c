"""Training speed of several models, in one run. Imports no TensorFlow."""

import argparse
from pathlib import Path

from benchmarks.rows import Row
from benchmarks.settings import StepSettings
from hln_tf.analysis.comparison import markdown
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import Manifest

NAME = "models"
HELP = "training steps of several models, in turn"
DESCRIPTION = """\
Measures, in turn and in one process, the training steps of several models, each with its
preset's batch size, loss and optimiser, on the same train prefixes, and reports figures of
the best round and of the median round: sequences/s, the seconds of a whole epoch at that
rate, and how many of the first model's epochs that is.

  python -m benchmarks models --data_dir data/yoochoose64 --models stamp sr_gnn
"""


def add_flags(parser: cli.Parser) -> None:
    """Adds the command's flags."""
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="a prepared data set")
    text = "what is measured, as MODEL or MODEL:PRESET; the first is compared with"
    add("--models", required=True, nargs="+", metavar="MODEL", help=text)
    cli.add_settings(parser, StepSettings, "benchmark")


def run(flags: argparse.Namespace) -> None:
    """Prints the table.

    Raises:
      UsageError: A flag or value is not allowed, or a model has no training steps.
      HlnError: The data set is unusable.
    """
    settings = cli.settings_from(StepSettings, flags)
    rows = list(dict.fromkeys(map(Row.parse, flags.models)))
    for row in rows:
        if not row.is_trained:
            raise UsageError(f"--models has {row.model}, which counts and has no training steps")
    manifest = Manifest.read(flags.data_dir)
    cli.import_tensorflow()
    from benchmarks.steps import HEADER, compare_steps

    measured = compare_steps(rows, flags.data_dir, manifest, settings)
    train = manifest.splits["train"]
    prefixes = min(settings.prefixes, train.prefixes)
    print(
        f"{manifest.items:,} items, {prefixes:,} of {train.prefixes:,} train prefixes; figures of "
        f"the best round / the median round\n"
    )
    print(markdown([HEADER, *measured], texts=3))
