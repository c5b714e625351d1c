"""Table 1 of the paper: `python -m benchmarks.table1 --dataset NAME`. Imports no TensorFlow."""

import argparse
import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.model_preset import ModelPreset, as_flags
from benchmarks.paper.intervals import intervals_section, rank_runs
from benchmarks.paper.latency_store import (
    Latencies,
    LatencySettings,
    store_latencies,
    stored_latencies,
)
from benchmarks.paper.published import datasets
from benchmarks.paper.report import csv_rows, markdown_page
from benchmarks.paper.runs import (
    DEFAULT_MODELS,
    FINISHED,
    Run,
    by_model,
    check_settings,
    read_runs,
    run_path,
)
from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.settings import from_dict
from hln_tf.data.layout import Manifest
from hln_tf.data.sources import CUSTOM, SOURCES
from hln_tf.training import TrainingSettings

NAME = "table1"
# Training settings that apply to all models alike.
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
_DESCRIPTION = """\
Trains the models of the paper's Table 1 on a data set, each run in a process of its own,
and writes table1.md, .csv, .png and .svg: Recall and MRR at 5, 10 and 20 next to the
published figures, training seconds per epoch, prediction latency, parameters and peak
memory; and bootstrap intervals, with marks where a model does not differ from the best.

Finished runs are not repeated, and interrupted runs resume. The table has a row for each
model, with its status if it has no finished run; on other data sets than the paper's, and
with --chosen_only, these are the models of --models alone. Training settings apply to all
runs whose models have them and override the preset's; the table lists such settings.

  python -m benchmarks.table1 --dataset yoochoose64 --data_dir data/yoochoose64
  python -m benchmarks.table1 --dataset lastfm --models stamp narm hln:tuned --seeds 1,2,3
  python -m benchmarks.table1 --dataset custom --data_dir data/tmall --models stamp hln:tuned
  python -m benchmarks.table1 --dataset yoochoose64 --chosen_only --output runs/ablation \
      --models hln:embedding hln:embedding:num_groups=1 hln:embedding:gates=none
"""


def main(arguments: Sequence[str]) -> None:
    """Train the missing runs, write the table and print it.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable or another one, or runs failed.
      TrainingInterrupt: A signal interrupted the current run, which has saved its state.
    """
    flags = _parse(arguments)
    latency = cli.settings_from(LatencySettings, flags)
    given = {name: value for name, value in vars(flags).items() if name in SHARED}
    if flags.one_selection and not given.get("refit", True):
        raise UsageError("--one_selection is for refits: leave --no-refit out")
    for seed in flags.seeds:
        from_dict(TrainingSettings, given | {"seed": seed}, "the command line")
    chosen = list(dict.fromkeys(map(ModelPreset.parse, flags.models)))
    for model in chosen:
        for name in dict(model.changes).keys() & given.keys():
            raise UsageError(f"--{name} and {model} of --models both set {name}: give one of them")
    data_dir = flags.data_dir or Path("data") / flags.dataset
    manifest = Manifest.read(data_dir)
    if manifest.dataset != flags.dataset:
        raise UsageError(
            f"--dataset is {flags.dataset}, but {data_dir} holds {manifest.dataset}: name the "
            f"directory of {flags.dataset} with --data_dir"
        )
    of_paper = flags.dataset in datasets() and not flags.chosen_only
    rows = [*map(ModelPreset.parse, DEFAULT_MODELS), *chosen] if of_paper else chosen
    table = Table(
        title=f"{'Table 1' if of_paper else 'Models'}: {flags.dataset}",
        data_dir=data_dir,
        manifest=manifest,
        output=flags.output or Path("runs") / flags.dataset / (NAME if of_paper else "models"),
        models=tuple(dict.fromkeys(rows)),
        latency=latency,
    )
    jobs = []
    for model in chosen:
        first, *others = model.seeds(flags.seeds)
        path = run_path(table.output, model, first) if flags.one_selection else None
        jobs += [Job(model, first), *(Job(model, seed, path) for seed in others)]
    # Existing runs are checked before hours of training.
    table.runs()
    for job in jobs:
        path = run_path(table.output, job.model, job.seed)
        check_settings(job.model, job.seed, path, given, job.selection is None)
    remedy = "wait for it to end, or choose another --output"
    with files.process_lock(table.output / ".lock", str(table.output), remedy):
        failed = train_all(table, jobs, given)
        latencies = table.measured_latencies(failed)
        runs = table.runs(failed)
        intervals = intervals_section(runs, rank_runs(runs, table.data_dir))
        table.write(failed, latencies, intervals)
    print((table.output / f"{NAME}.md").read_text("utf-8"), end="")
    if failed:
        raise HlnError(
            f"{len(failed)} of {len(jobs)} runs failed; their messages are above: "
            f"{'; '.join(failed.values())}; the same command repeats them"
        )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = cli.Parser(prog="python -m benchmarks.table1", description=_DESCRIPTION)
    add = parser.add_argument
    text = f"its data set; the paper has {', '.join(datasets())}"
    add("--dataset", required=True, choices=(*SOURCES, CUSTOM), help=text)
    add("--data_dir", type=Path, help="the prepared data set (default: data/DATASET)")
    text = "models to train, as MODEL, MODEL:PRESET or MODEL:PRESET:NAME=VALUE,NAME=VALUE "
    text += f"(default: {' '.join(DEFAULT_MODELS)})"
    add("--models", nargs="+", default=DEFAULT_MODELS, metavar="MODEL", help=text)
    text = "rows of --models alone, without those of the paper's table"
    add("--chosen_only", action="store_true", help=text)
    text = "seeds of the runs, such as 1,2,3; models that only count have one run (default: 1)"
    add("--seeds", type=_seeds, default=(1,), metavar="SEEDS", help=text)
    text = "later seeds are refits for as many epochs as the validation of the first of --seeds "
    text += "chose"
    add("--one_selection", action="store_true", help=text)
    text = "directory of the table and its runs (default: runs/DATASET/table1, or "
    text += "runs/DATASET/models without the paper's rows)"
    add("--output", type=Path, metavar="DIR", help=text)
    cli.add_settings(parser, LatencySettings, "prediction latency")
    defaults = dict.fromkeys(SHARED, "the preset's") | {"refit": "True"}
    cli.add_settings(parser, TrainingSettings, "training", defaults, only=SHARED)
    return parser.parse_args(arguments)


@dataclasses.dataclass(frozen=True)
class Job:
    """A run to train.

    Attributes:
      model: Its model.
      seed: Its seed.
      selection: Run directory of the run that chooses its epoch, or None for itself.
    """

    model: ModelPreset
    seed: int
    selection: Path | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and its directory.

    Attributes:
      title: Its title.
      data_dir: The data set.
      manifest: Its manifest.
      output: The directory of the table and its runs.
      models: Its models, with runs or without.
      latency: Amount of prediction that is measured.
    """

    title: str
    data_dir: Path
    manifest: Manifest
    output: Path
    models: Sequence[ModelPreset]
    latency: LatencySettings

    def runs(self, failed: Collection[Path] = ()) -> list[Run]:
        """Read all runs, see `read_runs`."""
        return read_runs(self.output, self.models, self.manifest, failed)

    def stored_latencies(self, failed: Collection[Path]) -> dict[Path, Latencies]:
        """Read the latencies of those runs that have not changed since the measurement."""
        return stored_latencies(self.output, self._first_runs(failed), self.latency)

    def measured_latencies(self, failed: Collection[Path]) -> dict[Path, Latencies]:
        """Return the latency of the first run of each model.

        Latencies are comparable if they are measured together, so all of them are
        measured again if one is missing.
        """
        runs = self._first_runs(failed)
        latencies = self.stored_latencies(failed)
        if set(latencies) != set(runs):
            cli.import_tensorflow()
            from benchmarks.paper.latency import measure_latencies

            latencies = measure_latencies(runs, self.data_dir, self.latency)
            store_latencies(self.output, latencies, self.latency)
        return latencies

    def write(
        self,
        failed: Collection[Path],
        latencies: Mapping[Path, Latencies],
        intervals: str = "",
    ) -> None:
        """Write the table from the runs, each file atomically.

        Args:
          failed: Run directories of runs that failed.
          latencies: Prediction latencies by run directory.
          intervals: A section of the page, see `intervals_section`.
        """
        from benchmarks.paper.plot import plot_table
        from hln_tf.analysis.pictures import save

        runs, dataset = self.runs(failed), self.manifest.dataset
        title = f"{self.title}, test split, all items"
        rows = csv_rows(dataset, runs, latencies)
        save(plot_table(dataset, runs, title), rows, self.output / NAME)
        with files.atomic_write(self.output / f"{NAME}.md") as temporary:
            page = markdown_page(self.title, self.manifest, runs, latencies)
            temporary.write_text("\n".join(filter(None, (page, intervals))), "utf-8")

    def _first_runs(self, failed: Collection[Path]) -> list[Path]:
        """List the first finished run of each model that has one."""
        finished = [run for run in self.runs(failed) if run.status == FINISHED]
        return [of_model[0].path for of_model in by_model(finished).values()]


def train_all(table: Table, jobs: Sequence[Job], given: Mapping[str, Any]) -> dict[Path, str]:
    """Train each run, one after the other, and write the table after each.

    Args:
      table: The table.
      jobs: The runs.
      given: Training settings of the command line, which override the presets'.

    Returns:
      Names of the runs that failed, by run directory.

    Raises:
      TrainingInterrupt: A signal interrupted the current run, which has saved its state.
    """
    failed: dict[Path, str] = {}
    data = ["--dataset", table.manifest.dataset, "--data_dir", str(table.data_dir)]
    with StopOnSignal() as stop:
        for number, job in enumerate(jobs, start=1):
            path = run_path(table.output, job.model, job.seed)
            name = job.model.run_name(job.seed)
            print(f"run {number} of {len(jobs)}: {name}, in {path}", file=sys.stderr)
            arguments = [*data, "--workdir", str(path), *train_flags(job, given)]
            code = processes.run_training(arguments, stop)
            if code:
                failed[path] = f"{name} ({processes.describe_exit(code)})"
            table.write(failed, table.stored_latencies(failed))
            stop.check()
    return failed


def train_flags(job: Job, given: Mapping[str, Any]) -> list[str]:
    """List the flags of `hln_tf.train` for a run; a model that counts has few of them."""
    flags = job.model.flags
    if job.selection is not None:
        flags += ["--selection", str(job.selection)]
    return flags + as_flags(job.model.overrides(job.seed, given))


def _seeds(text: str) -> tuple[int, ...]:
    """Parse `1,2,3`."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}, expected whole numbers such as 1,2,3")
    seeds = tuple(dict.fromkeys(map(int, parts)))
    return seeds


if __name__ == "__main__":
    sys.exit(cli.run(main))
