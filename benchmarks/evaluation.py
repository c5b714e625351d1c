"""Evaluation throughput of HLN: `python -m benchmarks.evaluation --data_dir DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.throughput.settings import parse_flags
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Measures the ranking of every target of the test split by HLN with the paper's sizes and
initial weights, or by the HLN of a run: as the package computes it, as it would with each
prefix by itself, and as the plain implementation (benchmarks/throughput/plain.py) does,
interleaved in one process. Prints figures of the best round and of the median round,
and the share of the time that the profiler attributes to the products of query embeddings
and item embeddings.

  python -m benchmarks.evaluation --data_dir data/yoochoose64 --workdir runs/paper --rounds 3
"""


def add_workdir(parser: cli.Parser) -> None:
    """Add the flag of the run whose model ranks."""
    text = "a run of HLN on the data set (default: initial weights)"
    parser.add_argument("--workdir", type=Path, help=text)


def main(arguments: Sequence[str]) -> None:
    """Measure each batch size and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    prog = "python -m benchmarks.evaluation"
    flags, settings = parse_flags(arguments, prog, _DESCRIPTION, add_workdir)
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks.throughput.evaluation import HEADER, measure_evaluation
    from benchmarks.throughput.operations import create_hln, read_prefixes
    from hln_tf.training import RunDirectory

    prefixes = read_prefixes(flags.data_dir, "test")
    if flags.workdir is None:
        model = create_hln(num_items, settings.seed)
    else:
        model = RunDirectory(flags.workdir).model()
    rows: list[Sequence[str]] = [HEADER]
    notes = []
    for size in flags.batch_size:
        measured, share = measure_evaluation(prefixes, model, size, settings)
        rows += measured
        notes.append(f"batch {size}: {100 * share:.0f} % of the time in the scoring product")
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown(rows, texts=2), "", *notes, sep="\n")


if __name__ == "__main__":
    sys.exit(cli.run(main))
