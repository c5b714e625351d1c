"""Training time of HLN's leap gates: `python -m benchmarks.gates --data_dir DIR`."""

import sys
from collections.abc import Sequence

from benchmarks.throughput.settings import parse_flags
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Measures whole training steps of HLN with the paper's sizes for each leap gate,
interleaved in one process on the same batches of the train split. Prints figures of
the best round and of the median round.

  python -m benchmarks.gates --data_dir data/yoochoose64 --batch_size 64 --rounds 5
"""


def main(arguments: Sequence[str]) -> None:
    """Measure each batch size and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    flags, settings = parse_flags(arguments, "python -m benchmarks.gates", _DESCRIPTION)
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks.throughput.gates import HEADER, measure_gates
    from benchmarks.throughput.operations import read_prefixes

    prefixes = read_prefixes(flags.data_dir, "train")
    rows: list[Sequence[str]] = [HEADER]
    for size in flags.batch_size:
        rows += measure_gates(prefixes, num_items, size, settings)
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown(rows, texts=2))


if __name__ == "__main__":
    sys.exit(cli.run(main))
