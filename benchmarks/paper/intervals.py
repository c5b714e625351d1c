"""Intervals of Table 1's figures, and what does not differ from the best model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.model_preset import ModelPreset
from benchmarks.paper.runs import FINISHED, Run, by_model
from hln_tf.analysis import markdown
from hln_tf.analysis.ranked_examples import read_examples
from hln_tf.analysis.run_comparison import (
    ComparisonSettings,
    System,
    compare_systems,
    mean_intervals,
)
from hln_tf.common import cli
from hln_tf.training import RunDirectory

SPLIT = "test"
METRICS = ("recall@20", "mrr@20")
SAME = "≈"
_SETTINGS = ComparisonSettings(metrics=METRICS)


def rank_runs(runs: Sequence[Run], data_dir: Path) -> dict[Path, pa.Table]:
    """Read the ranked examples of the finished runs, and rank those that have none yet.

    Args:
      runs: The runs of the table.
      data_dir: Their data set.

    Raises:
      HlnError: A table of ranks is damaged.
      TrainingInterrupt: A signal arrived while examples were ranked.
    """
    finished = [RunDirectory(run.path) for run in runs if run.status == FINISHED]
    if any(not run.ranks(SPLIT).is_file() for run in finished):
        cli.import_tensorflow()
        from hln_tf.training import ranked_examples

        return ranked_examples.rank_runs({run.path: data_dir for run in finished}, SPLIT)[0]
    return {run.path: read_examples(run.ranks(SPLIT)) for run in finished}


def intervals_section(runs: Sequence[Run], tables: Mapping[Path, pa.Table]) -> str:
    """Describe the finished models' intervals, and their differences from the best one.

    Args:
      runs: The runs of the table.
      tables: Their ranked examples.

    Returns:
      Markdown; empty without a finished run.
    """
    systems = [
        System(str(model), np.array([np.asarray(tables[run.path]["rank"]) for run in of_model]))
        for model, of_model in _finished(runs).items()
    ]
    if not systems:
        return ""
    systems.sort(key=lambda system: -float(system.values(METRICS[-1]).mean()))
    examples = next(iter(tables.values()))
    rows = compare_systems(systems, examples, _SETTINGS) if len(systems) > 1 else []
    differences = {(row.second, row.metric): row.difference for row in rows}
    titles = ["model (preset)"]
    for metric in METRICS:
        titles += [metric, f"{100 * _SETTINGS.level:g} % interval", f"from {systems[0].name}"]
    cells = [titles]
    for system in systems:
        line = [system.name]
        ends = mean_intervals(system, examples, _SETTINGS)
        for metric, (low, high) in zip(METRICS, ends, strict=True):
            mean = system.values(metric).mean()
            line += [f"{100 * mean:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"]
            own = differences.get((system.name, metric))
            mark = "" if own is None or own.differs else f" {SAME}"
            line.append("" if own is None else f"{100 * own.value:+.2f}{mark}")
        cells.append(line)
    sessions = len(examples["session"].unique())
    return (
        f"## Intervals\n\n"
        f"Percentile bootstrap over {sessions:,} test sessions, and over seeds where "
        f"there are several; {SAME} marks what a randomisation test, corrected by Holm's method "
        f"for all of these differences, does not find to differ from the best model.\n\n"
        f"{markdown(cells, texts=1)}\n"
    )


def _finished(runs: Sequence[Run]) -> dict[ModelPreset, list[Run]]:
    return by_model(run for run in runs if run.status == FINISHED)
