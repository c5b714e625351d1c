"""The sections of a page about runs: data, settings, curves, metrics, slices and cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hln_tf.analysis.comparison import group_by_settings, setting_differences
from hln_tf.analysis.learning_curves import read_curves
from hln_tf.analysis.page import Picture, Section, Table, picture_of
from hln_tf.analysis.pictures import draw_differences, draw_learning, draw_slices
from hln_tf.analysis.ranked_examples import KEYS
from hln_tf.analysis.run_comparison import (
    ComparisonSettings,
    System,
    compare_systems,
    comparison_rows,
    mean_intervals,
    systems_of,
)
from hln_tf.analysis.runs import read_config, read_results, read_settings
from hln_tf.analysis.slices import slice_values, slices_table
from hln_tf.common.files import Location
from hln_tf.data.layout import SPLITS, Manifest
from hln_tf.metrics.of_ranks import metric_names

CUT_OFFS = (5, 10, 20)
METRICS = ("recall@20", "mrr@20")
_SETTINGS = ComparisonSettings(metrics=METRICS, resamples=2_000)


def data_section(directories: Sequence[Location]) -> Section:
    """Describe the data sets: parts with their counts, and items."""
    parts = []
    for directory in dict.fromkeys(directories):
        manifest = Manifest.read(directory)
        rows = [["part", "sessions", "clicks", "examples"]]
        for name in SPLITS:
            split = manifest.splits[name]
            rows.append([name, *(f"{n:,}" for n in (split.sessions, split.clicks, split.prefixes))])
        caption = f"{manifest.dataset}, {manifest.items:,} items, in {directory}"
        parts.append(Table(rows, 1, caption))
    return Section("Data", parts)


def metrics_section(runs: Sequence[Path], tables: Mapping[Path, pa.Table]) -> Section:
    """Show the metrics of each run, two of them with their intervals over sessions."""
    names = metric_names(CUT_OFFS, ("recall", "mrr", "ndcg"))
    rows = [["run", "model", *names]]
    with_intervals = [
        ["run", *(f"{name}, {100 * _SETTINGS.level:g} % interval" for name in METRICS)]
    ]
    for run in runs:
        system = System(str(run), np.asarray(tables[run]["rank"])[None])
        means = [f"{100 * system.values(name).mean():.2f}" for name in names]
        rows.append([str(run), read_config(run)["model"], *means])
        ends = mean_intervals(system, tables[run], _SETTINGS)
        with_intervals.append([str(run), *(f"{100 * a:.2f} to {100 * b:.2f}" for a, b in ends)])
    caption = "bootstrap over sessions"
    tables_of_page = [Table(rows, 2), Table(with_intervals, 1, caption)]
    return Section("Metrics", tables_of_page, "In percent, over the full catalogue.")


def comparison_section(runs: Sequence[Path], tables: Mapping[Path, pa.Table]) -> Section:
    """Compare the runs with the first one; no part if they cannot be compared."""
    keys = [tables[run].select(KEYS) for run in runs]
    if len(group_by_settings(runs)) < 2 or any(each != keys[0] for each in keys):
        return Section("Comparison", [])
    systems = systems_of(runs, tables)
    rows = compare_systems(systems, tables[runs[0]], _SETTINGS)
    figure = draw_differences(rows)
    table = comparison_rows(rows, _SETTINGS.level)
    note = "In points; p-values of a randomisation test over sessions, corrected by Holm's method."
    return Section("Comparison", [Table(table, 3), picture_of(figure, "comparison")], note)


def slices_section(
    runs: Sequence[Path], tables: Mapping[Path, pa.Table], columns: Sequence[str] = ()
) -> Section:
    """Show the metrics of each run by slice, those by extra columns of the data set among them."""
    parts: list[Table | Picture] = []
    for run in runs:
        table, metric = tables[run], METRICS[1]
        parts.append(Table(slices_table(table, [CUT_OFFS[-1]], columns), 2, str(run)))
        figure = draw_slices(slice_values(table, metric, columns), metric, str(run))
        parts.append(picture_of(figure, f"slices {run}"))
    return Section("Slices", parts, "Each property divides all examples.")


def curves_section(runs: Sequence[Path]) -> Section:
    """Draw the learning curves of the runs that have epochs."""
    trained = [run for run in runs if read_results(run).get("history")]
    if not trained:
        return Section("Learning curves", [])
    curves, title = read_curves(trained)
    figure = draw_learning(curves, METRICS[1], title)
    return Section("Learning curves", [picture_of(figure, "curves")])


def settings_section(runs: Sequence[Path]) -> Section:
    """List all settings, and first those in which runs of one model differ."""
    models = [read_config(run)["model"] for run in runs]
    different = setting_differences(models, runs)
    rows = [["run", "model", "settings that differ"]]
    rows += [list(row) for row in zip(map(str, runs), models, different, strict=True)]
    settings = {run: read_settings(run) for run in runs}
    names = list(dict.fromkeys(name for of_run in settings.values() for name in of_run))
    everything = [["setting", *map(str, runs)]]
    everything += [[name, *(_shown(settings[run], name) for run in runs)] for name in names]
    return Section("Settings", [Table(rows, 3), Table(everything, len(runs) + 1)])


def cost_section(runs: Sequence[Path]) -> Section:
    """Show time, memory and size of each run."""
    rows = [["run", "parameters", "training, s", "examples/s", "memory, MB"]]
    for run in runs:
        results = read_results(run)
        timing = results.get("timing", {})
        # Without a selection of its own a run has its refit's alone.
        seconds = timing.get("training_seconds", timing.get("refit_seconds", 0))
        examples = results.get("training_examples", 0)
        rows.append(
            [
                str(run),
                f"{results.get('parameters', 0):,}",
                f"{seconds:,.1f}",
                f"{examples / seconds:,.0f}" if seconds and examples else "",
                f"{timing.get('peak_memory_megabytes', 0):,}",
            ]
        )
    return Section("Cost", [Table(rows, 1)], "On the machine of the training.")


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return str(settings[name]) if name in settings else ""
