"""Training throughput of HLN: `python -m benchmarks.training --data_dir DIR`."""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.throughput.settings import print_rates
from hln_tf.common import cli

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

    def load() -> Any:
        from benchmarks.throughput.training import HEADER, measure_training

        return HEADER, measure_training

    print_rates(arguments, "training", _DESCRIPTION, load, texts=3)


if __name__ == "__main__":
    sys.exit(cli.run(main))
