"""Training time of HLN by execution: `python -m benchmarks.execution --data_dir DIR`."""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.throughput.settings import print_rates
from hln_tf.common import cli

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

    def load() -> Any:
        from benchmarks.throughput.execution import HEADER, measure_executions

        return HEADER, measure_executions

    print_rates(arguments, "execution", _DESCRIPTION, load, texts=4)


if __name__ == "__main__":
    sys.exit(cli.run(main))
