"""Processor time of a training to the end of its first step: `python -m benchmarks.start`."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import measure, python
from benchmarks.timing import best_and_median
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Starts `python -m hln_tf.train` several times, in a process of its own, and ends it after its
first step. Prints the processor time of the best start and of the median start, imports and the
reading of the data included:

  python -m benchmarks.start --data_dir data/yoochoose64 --model hln --preset paper
"""


def main(arguments: Sequence[str]) -> None:
    """Measure the starts and print their times.

    Raises:
      UsageError: The number of rounds is below 1.
      HlnError: The data set is unusable, or a training fails.
    """
    parser = cli.Parser(prog="python -m benchmarks.start", description=_DESCRIPTION)
    parser.add_argument("--data_dir", required=True, type=Path, help="prepared data set")
    parser.add_argument("--model", default="hln", help="its model (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="its preset (default: %(default)s)")
    text = "starts that are measured, after one that is not (default: %(default)s)"
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help=text)
    flags = parser.parse_args(arguments)
    if flags.rounds < 1:
        raise UsageError("--rounds is a whole number from 1")
    training = ["--dataset", Manifest.read(flags.data_dir).dataset]
    training += ["--data_dir", str(flags.data_dir), "--model", flags.model]
    training += ["--preset", flags.preset]
    seconds = []
    for _ in range(flags.rounds + 1):
        with tempfile.TemporaryDirectory() as directory:
            workdir = ["--workdir", f"{directory}/run"]
            program = python("-m", "benchmarks.scaling.first_step", *training, *workdir)
            seconds.append(measure(program).cpu_seconds)
    print(f"CPU seconds to the end of the first step: {best_and_median(seconds[1:], 2)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
