"""Training throughput of HLN: `python -m benchmarks.training --data_dir DIR`."""

import sys
from collections.abc import Sequence

from benchmarks.throughput.settings import parse_flags
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Measures training steps of HLN with the paper's sizes on the train split, as the package
computes them and as the plain implementation (benchmarks/throughput/plain.py) does,
interleaved in one process: the recurrent part, the softmax, the update of the item table
and the whole step. Prints figures of the best round and of the median round next to the
machine's peak rate of matrix products of the same shapes; floating-point operations are
counted from the shapes, without padding.

  python -m benchmarks.training --data_dir data/yoochoose64 --batch_size 256 --rounds 3
"""


def main(arguments: Sequence[str]) -> None:
    """Measure each batch size and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    flags, settings = parse_flags(arguments, "python -m benchmarks.training", _DESCRIPTION)
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks.throughput.operations import read_prefixes
    from benchmarks.throughput.training import HEADER, measure_training

    prefixes = read_prefixes(flags.data_dir, "train")
    rows: list[Sequence[str]] = [HEADER]
    for size in flags.batch_size:
        rows += measure_training(prefixes, num_items, size, settings)
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown(rows, texts=3))


if __name__ == "__main__":
    sys.exit(cli.run(main))
