"""The package's speed against a plain implementation. Imports no TensorFlow."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.settings import BenchmarkSettings
from hln_tf.analysis.comparison import markdown
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import Manifest

HELPS = {
    "train": "steps on the train split, HLN against a plain implementation",
    "predict": "20 recommendations for sessions of the test split, likewise",
    "evaluate": "ranking of every target of the test split, likewise",
}
DESCRIPTION = """\
Measures, in turn and in one process, HLN as this package computes it and as one would
write it first (hln_tf/benchmark/plain.py), with the paper's sizes, and reports figures of
the best round and of the median round.

  train     steps on the train split: the recurrent part, the softmax, the update of the
            item table and the whole step, beside the rate of the machine's own matrix
            products of the same shapes; floating-point operations are counted from the
            shapes, padding is not credited
  predict   20 recommendations for sessions of the test split
  evaluate  ranking of every target of the test split, and the share of the time that the
            profiler gives to the product of queries and item vectors
"""


def add_flags(parser: cli.Parser) -> None:
    """Adds the flags of one of the benchmarks."""
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="a prepared data set")
    text = "sizes of batches (default: 64 256 1024)"
    add("--batch_size", nargs="+", type=int, default=[64, 256, 1024], help=text)
    cli.add_settings(parser, BenchmarkSettings, "benchmark")


def run(flags: argparse.Namespace) -> None:
    """Prints the tables of one benchmark.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    settings = cli.settings_from(BenchmarkSettings, flags)
    for size in flags.batch_size:
        if size < 1:
            raise UsageError(f"--batch_size has {size}, expected whole numbers of at least 1")
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks import inference, training
    from hln_tf.data.prefixes import Prefixes
    from hln_tf.data.sessions import read_sessions
    from hln_tf.training.settings import TrainingSettings

    split = "train" if flags.what == "train" else "test"
    prefixes = Prefixes.from_sessions(
        read_sessions(flags.data_dir, split), TrainingSettings().max_length
    )
    rows: list[Sequence[str]] = []
    notes = []
    for size in flags.batch_size:
        if flags.what == "train":
            rows += training.compare_training(prefixes, num_items, size, settings)
        elif flags.what == "predict":
            rows += inference.compare_prediction(prefixes, num_items, size, settings)
        else:
            ranked, share = inference.compare_evaluation(prefixes, num_items, size, settings)
            rows += ranked
            notes.append(f"batch {size}: {100 * share:.0f} % of the time in the scoring product")
    headers = {
        "train": (training.HEADER, 3),
        "predict": (inference.PREDICT_HEADER, 2),
        "evaluate": (inference.EVALUATE_HEADER, 2),
    }
    header, texts = headers[flags.what]
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown([header, *rows], texts=texts))
    print("".join(f"\n{note}" for note in notes), end="")
