"""Tables of results: `python -m hln_tf.report RUNS...`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf import cli, files
from hln_tf.errors import HlnError
from hln_tf.workdir import METRICS

COLUMNS = tuple(f"{metric}@{k}" for metric in ("recall", "mrr") for k in (5, 10, 20))


def read_results(run: Path) -> dict[str, Any]:
    """The results of a run.

    Args:
      run: A workdir.

    Raises:
      HlnError: The directory holds no finished run.
    """
    remedy = "name workdirs of finished runs of python -m hln_tf.train"
    results = files.read_json(run / METRICS, remedy)
    if not isinstance(results, dict) or not set(COLUMNS) <= set(results.get("test", {})):
        raise HlnError(f"{run / METRICS} holds no test metrics: {remedy}")
    return results


def table(runs: Sequence[Path]) -> str:
    """A Markdown table of test metrics in percent, one row for each run.

    Args:
      runs: Workdirs of finished runs.

    Returns:
      The table, aligned so that it reads well as plain text too.
    """
    header = [
        "run",
        "model",
        "trained on",
        *(name.replace("recall", "R").replace("mrr", "MRR") for name in COLUMNS),
    ]
    rows = [header]
    for run in runs:
        results = read_results(run)
        figures = [f"{100 * results['test'][name]:.2f}" for name in COLUMNS]
        rows.append([str(run), results["model"], results["trained_on"], *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = header.index(COLUMNS[0].replace("recall", "R"))
    rules = ["-" * width for width in widths[:texts]] + [
        "-" * (width - 1) + ":" for width in widths[texts:]
    ]
    lines = [
        " | ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [rows[0], rules, *rows[1:]]
    ]
    return "\n".join(f"| {line} |" for line in lines)


def main(arguments: Sequence[str]) -> None:
    """Prints the table of the runs that are named."""
    parser = cli.Parser(prog="python -m hln_tf.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="workdirs of finished runs")
    print("test metrics in percent, over the full catalogue\n")
    print(table(parser.parse_args(arguments).runs))


if __name__ == "__main__":
    sys.exit(cli.run(main))
