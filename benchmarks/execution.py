"""Training time of HLN by execution: `python -m benchmarks.execution --data_dir DIR`."""

import sys
from collections.abc import Sequence

from benchmarks.throughput.settings import parse_flags
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Measures whole training steps of HLN with the paper's sizes as graphs and as programs that
XLA compiles, one and several in a call, with batches that are made between the steps or
ahead of them, interleaved in one process on the same batches of the train split. Prints
figures of the best round and of the median round; compiling is not in them.

  python -m benchmarks.execution --data_dir data/yoochoose64 --batch_size 64 --rounds 5
"""


def main(arguments: Sequence[str]) -> None:
    """Measure each batch size and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    flags, settings = parse_flags(arguments, "python -m benchmarks.execution", _DESCRIPTION)
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks.throughput.execution import HEADER, measure_executions
    from benchmarks.throughput.operations import read_prefixes

    prefixes = read_prefixes(flags.data_dir, "train")
    rows: list[Sequence[str]] = [HEADER]
    for size in flags.batch_size:
        rows += measure_executions(prefixes, num_items, size, settings)
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown(rows, texts=4))


if __name__ == "__main__":
    sys.exit(cli.run(main))
