"""Memory and start by the size of the catalogue: `python -m benchmarks.memory`."""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import measure, python
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.common.errors import UsageError

_DESCRIPTION = """\
Trains HLN on random sessions of catalogues of several sizes, by sampled softmax, exports a
model of each and loads the export as the server does, each in a process of its own. Prints
the peak memory of the processes and how long they take:

  python -m benchmarks.memory --items 37483 1000000 5000000
"""
_HEADER = (
    "items",
    "d",
    "training: peak memory",
    "first step after",
    "ms a step",
    "export: peak memory",
    "CPU s",
    "graph",
    "export's files",
    "load: peak memory",
    "first answer after",
)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The cost of a catalogue.

    Attributes:
      items: Its size.
      times: What the programs have measured, by stage and name, see
        `benchmarks.scaling.catalogue`.
      graph_bytes: Size of the exported graph.
      export_bytes: Size of the export.
    """

    items: int
    times: dict[str, float]
    graph_bytes: int
    export_bytes: int


def measure_catalogue(items: int, directory: Path, flags: argparse.Namespace) -> Catalogue:
    """Train with, export and load a model of a catalogue.

    Args:
      items: Its size.
      directory: An empty directory.
      flags: Those of the command.
    """
    base = directory / "model"
    times: dict[str, float] = {}
    for stage in ("train", "export", "load"):
        out = directory / f"{stage}.json"
        sizes = [str(n) for n in (items, flags.embedding_dim, flags.batch_size, flags.steps)]
        program = ("-m", "benchmarks.scaling.catalogue", stage, str(base), str(out), *sizes)
        measure(python(*program))
        times |= {f"{stage}_{name}": value for name, value in json.loads(out.read_text()).items()}
    files = [path for path in base.rglob("*") if path.is_file()]
    return Catalogue(
        items,
        times,
        next(path.stat().st_size for path in files if path.name == "saved_model.pb"),
        sum(path.stat().st_size for path in files),
    )


def row(cost: Catalogue, embedding_dim: int) -> list[str]:
    """Format a catalogue's costs."""
    return [
        f"{cost.items:,}",
        f"{embedding_dim}",
        _megabytes(cost.times["train_peak_bytes"]),
        f"{cost.times['train_first_step_seconds']:.1f} s",
        f"{1000 * cost.times['train_step_seconds']:.0f}",
        _megabytes(cost.times["export_peak_bytes"]),
        f"{cost.times['export_cpu_seconds']:.0f}",
        _megabytes(cost.graph_bytes),
        _megabytes(cost.export_bytes),
        _megabytes(cost.times["load_peak_bytes"]),
        f"{cost.times['load_first_answer_seconds']:.1f} s",
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure each size and print the table.

    Raises:
      HlnError: A program fails.
      UsageError: A number is not allowed.
    """
    parser = cli.Parser(prog="python -m benchmarks.memory", description=_DESCRIPTION)
    add = parser.add_argument
    text = "sizes of the catalogues (default: %(default)s)"
    add("--items", nargs="+", type=int, default=[37_483, 1_000_000], metavar="N", help=text)
    text = "size d of the item embeddings (default: %(default)s)"
    add("--embedding_dim", type=int, default=100, metavar="D", help=text)
    add("--batch_size", type=int, default=256, help="examples in a step (default: %(default)s)")
    add("--steps", type=int, default=20, help="steps of training (default: %(default)s)")
    text = "parent of the temporary directories"
    add("--directory", metavar="DIR", help=text)
    flags = parser.parse_args(arguments)
    if min(*flags.items, flags.embedding_dim, flags.batch_size) < 1 or flags.steps < 2:
        raise UsageError("items, sizes and examples are whole numbers from 1, steps from 2")
    rows: list[Sequence[str]] = [_HEADER]
    for items in flags.items:
        with tempfile.TemporaryDirectory(dir=flags.directory) as directory:
            rows.append(row(measure_catalogue(items, Path(directory), flags), flags.embedding_dim))
        print(markdown([_HEADER, rows[-1]], texts=0), file=sys.stderr)
    print(markdown(rows, texts=0))


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e7 else f"{count / 1e6:,.0f} MB"


if __name__ == "__main__":
    sys.exit(cli.run(main))
