"""Tables of results: `python -m hln_tf.report RUNS...`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.analysis.comparison import mean_table, table
from hln_tf.common import cli


def main(arguments: Sequence[str]) -> None:
    """Print a table of the given runs' results."""
    parser = cli.Parser(prog="python -m hln_tf.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="workdirs of finished runs")
    text = "one row for runs that differ in the seed alone: mean and standard deviation"
    parser.add_argument("--mean", action="store_true", help=text)
    flags = parser.parse_args(arguments)
    rows = mean_table(flags.runs) if flags.mean else table(flags.runs)
    print(f"test metrics in percent, over the full catalogue\n\n{rows}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
