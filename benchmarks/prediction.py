"""Prediction throughput of HLN: `python -m benchmarks.prediction --data_dir DIR`."""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.throughput.settings import print_rates
from hln_tf.common import cli

_DESCRIPTION = """\
Measures 20 recommendations of HLN with the paper's sizes for sessions of the test split,
as the package computes them and as the plain implementation (benchmarks/throughput/plain.py)
does, interleaved in one process. Prints figures of the best round and of the median round.

  python -m benchmarks.prediction --data_dir data/yoochoose64 --batch_size 1 512
"""


def main(arguments: Sequence[str]) -> None:
    """Measure each batch size and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """

    def load() -> Any:
        from benchmarks.throughput.prediction import HEADER, measure_prediction

        return HEADER, measure_prediction

    print_rates(arguments, "prediction", _DESCRIPTION, load, texts=2, split="test")


if __name__ == "__main__":
    sys.exit(cli.run(main))
