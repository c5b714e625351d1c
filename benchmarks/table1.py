"""Table 1 by one command: trains what is missing, writes the table. Imports no TensorFlow."""

import argparse
import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.comparison import by_row, csv_rows, markdown_page
from benchmarks.prediction_times import known_times, prediction_times
from benchmarks.published import TABLE_1
from benchmarks.rows import (
    DEFAULT_ROWS,
    FINISHED,
    Row,
    Run,
    check_settings,
    read_runs,
    workdir_of,
)
from benchmarks.settings import PredictionSettings
from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.settings import from_dict
from hln_tf.data.layout import Manifest
from hln_tf.training.settings import TrainingSettings

NAME = "table1"
# Settings of the training that make sense for all models alike.
SHARED = (
    "epochs",
    "patience",
    "max_length",
    "refit",
    "deterministic",
    "evaluation_batch_size",
    "score_megabytes",
    "checkpoint_minutes",
)
HELP = "the paper's Table 1: accuracy, speed and size of all models"
DESCRIPTION = """\
Trains the models of the paper's Table 1 on a data set, each run in a process of its own,
and writes table1.md, .csv, .png and .svg: Recall and MRR at 5, 10 and 20 beside the
published figures, training seconds an epoch, prediction time, parameters and peak memory.

Runs that are finished are not repeated, and those that were interrupted go on. The table
has a row for each model; one without a run says so. Settings of the training go to all runs
whose models have them, in place of the preset's; the table says so.

  python -m benchmarks table1 --dataset yoochoose64 --data_dir data/yoochoose64
  python -m benchmarks table1 --dataset lastfm --models stamp narm hln:tuned --seeds 1,2,3
"""


def add_flags(parser: cli.Parser) -> None:
    """Adds the command's flags."""
    add = parser.add_argument
    add("--dataset", required=True, choices=tuple(TABLE_1), help="the paper's data set")
    add("--data_dir", type=Path, help="the prepared data set (default: data/DATASET)")
    text = f"what is trained, as MODEL or MODEL:PRESET (default: {' '.join(DEFAULT_ROWS)})"
    add("--models", nargs="+", default=DEFAULT_ROWS, metavar="MODEL", help=text)
    text = "seeds of the runs, such as 1,2,3; models that only count have one run (default: 1)"
    add("--seeds", type=_seeds, default=(1,), metavar="SEEDS", help=text)
    text = "directory of the table and its runs (default: runs/DATASET/table1)"
    add("--output", type=Path, metavar="DIR", help=text)
    cli.add_settings(parser, PredictionSettings, "prediction time")
    defaults = dict.fromkeys(SHARED, "the preset's") | {"refit": "True"}
    cli.add_settings(parser, TrainingSettings, "training", defaults, only=SHARED)


def run(flags: argparse.Namespace) -> None:
    """Trains what is missing and writes the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable or another one, or runs failed.
      TrainingInterrupt: A signal asked to stop; the run under way has saved its state.
    """
    prediction = cli.settings_from(PredictionSettings, flags)
    given = {name: value for name, value in vars(flags).items() if name in SHARED}
    from_dict(TrainingSettings, given, "the command line")
    chosen = list(dict.fromkeys(map(Row.parse, flags.models)))
    data_dir = flags.data_dir or Path("data") / flags.dataset
    manifest = Manifest.read(data_dir)
    if manifest.dataset != flags.dataset:
        raise UsageError(
            f"--dataset is {flags.dataset}, but {data_dir} holds {manifest.dataset}: name the "
            f"directory of {flags.dataset} with --data_dir"
        )
    table = Table(
        data_dir=data_dir,
        manifest=manifest,
        output=flags.output or Path("runs") / flags.dataset / NAME,
        rows=tuple(dict.fromkeys([*map(Row.parse, DEFAULT_ROWS), *chosen])),
        prediction=prediction,
    )
    jobs = [(row, seed) for row in chosen for seed in row.seeds(flags.seeds)]
    # What is there must fit before hours are spent.
    table.runs()
    for row, seed in jobs:
        check_settings(row, seed, workdir_of(table.output, row, seed), given)
    remedy = "wait for it to end, or choose another --output"
    with files.process_lock(table.output / ".lock", str(table.output), remedy):
        failed = train_all(table, jobs, given)
        table.write(failed, is_final=True)
    print((table.output / f"{NAME}.md").read_text("utf-8"), end="")
    if failed:
        raise HlnError(
            f"{len(failed)} of {len(jobs)} runs failed, and what they said stands above: "
            f"{'; '.join(failed.values())}; the same command tries them again"
        )


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and where it stands.

    Attributes:
      data_dir: The data set.
      manifest: What it holds.
      output: The directory of the table and its runs.
      rows: Its rows, with runs or without.
      prediction: How much of prediction is measured.
    """

    data_dir: Path
    manifest: Manifest
    output: Path
    rows: Sequence[Row]
    prediction: PredictionSettings

    def runs(self, failed: Collection[Path] = ()) -> list[Run]:
        """All runs; see `read_runs`."""
        return read_runs(self.output, self.rows, self.manifest, failed)

    def write(self, failed: Collection[Path], is_final: bool = False) -> None:
        """Writes the table from what is there, each file whole.

        Args:
          failed: Workdirs of runs that failed.
          is_final: Whether what prediction takes is measured where it is not known.
        """
        from benchmarks.dots import draw_table
        from hln_tf.analysis.pictures import save

        runs, dataset = self.runs(failed), self.manifest.dataset
        firsts = [
            next((run.path for run in of_row if run.status == FINISHED), None)
            for of_row in by_row(runs).values()
        ]
        measured = [path for path in firsts if path]
        times = known_times(self.output, measured, self.prediction)
        if is_final and measured:
            times = prediction_times(self.output, measured, self.data_dir, self.prediction)
        title = f"Table 1 on {dataset}: test split, all items"
        rows = csv_rows(dataset, runs, times)
        save(draw_table(dataset, runs, title), rows, self.output / NAME)
        with files.atomic_write(self.output / f"{NAME}.md") as temporary:
            temporary.write_text(markdown_page(dataset, self.manifest, runs, times), "utf-8")


def train_all(
    table: Table, jobs: Sequence[tuple[Row, int]], given: Mapping[str, Any]
) -> dict[Path, str]:
    """Runs each row with its seed, one after the other, and writes the table after each.

    Args:
      table: The table.
      jobs: Rows and seeds.
      given: Settings of the training in place of the presets'.

    Returns:
      What to call the runs that failed, by workdir.

    Raises:
      TrainingInterrupt: A signal asked to stop; the run under way has saved its state.
    """
    failed: dict[Path, str] = {}
    where = ["--dataset", table.manifest.dataset, "--data_dir", str(table.data_dir)]
    with StopOnSignal() as stop:
        for number, (row, seed) in enumerate(jobs, start=1):
            path = workdir_of(table.output, row, seed)
            name = row.run_name(seed)
            print(f"run {number} of {len(jobs)}: {name}, in {path}", file=sys.stderr)
            arguments = [*where, "--workdir", str(path), *train_flags(row, seed, given)]
            code = children.train(arguments, stop)
            if code:
                failed[path] = f"{name} ({children.describe_exit(code)})"
            table.write(failed)
            stop.check()
    return failed


def train_flags(row: Row, seed: int, given: Mapping[str, Any]) -> list[str]:
    """The flags of `hln_tf.train` for a run; a model that counts has few of them."""
    flags = ["--model", row.model, "--preset", row.preset]
    for name, value in row.in_place_of_preset(seed, given).items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            flags += [f"--{name}", str(value)]
    return flags


def _seeds(text: str) -> tuple[int, ...]:
    """Reads `1,2,3`."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}, expected whole numbers such as 1,2,3")
    seeds = tuple(dict.fromkeys(map(int, parts)))
    for seed in seeds:
        TrainingSettings(seed=seed)
    return seeds
