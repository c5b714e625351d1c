"""Training time of HLN's leap gates: `python -m benchmarks.gates --data_dir DIR`."""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.throughput.settings import print_rates
from hln_tf.common import cli

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

    def load() -> Any:
        from benchmarks.throughput.gates import HEADER, measure_gates

        return HEADER, measure_gates

    print_rates(arguments, "gates", _DESCRIPTION, load, texts=2)


if __name__ == "__main__":
    sys.exit(cli.run(main))
