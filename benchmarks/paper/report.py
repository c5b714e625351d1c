"""Table 1 as Markdown and CSV, next to the published figures. Imports no TensorFlow."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.model_preset import ModelPreset
from benchmarks.paper.latency_store import BATCH_SIZES, Latencies
from benchmarks.paper.published import TABLE_1, Published, item_counts, published_for
from benchmarks.paper.runs import FINISHED, Run, by_model
from hln_tf.analysis import COLUMNS, TITLES, markdown
from hln_tf.data.layout import Manifest

MISSING = "-"
IMPOSSIBLE = "†"
_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
_HEADER = (
    "model (preset)",
    "seeds",
    *TITLES,
    "s/epoch",
    "best epoch",
    "ms/session, alone",
    "ms/session, batch of 512",
    "parameters",
    "peak memory, MB",
)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Compute mean and standard deviation, which is 0 for one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def markdown_page(
    title: str, manifest: Manifest, runs: Sequence[Run], latencies: Mapping[Path, Latencies]
) -> str:
    """Format the table and its notes as Markdown.

    Args:
      title: Its title.
      manifest: The data set.
      runs: The runs of all models.
      latencies: Prediction latencies by run directory.
    """
    dataset, runs_of = manifest.dataset, by_model(runs)
    figures_of = {model: published_for(dataset, model) for model in runs_of}
    all_figures = [figure for figures in figures_of.values() for figure in figures.values()]
    sources = list(
        dict.fromkeys(figure.source for figure in all_figures if figure.source != TABLE_1)
    )
    marks = dict(zip(sources, _MARKS, strict=False))
    rows = [_cells(model, runs_of[model], figures_of[model], marks, latencies) for model in runs_of]
    brackets = f" Published figures are in brackets; those without a number are from {TABLE_1}."
    if not all_figures:
        brackets = ""
    parts = [
        f"# {title}",
        f"Recall@k (R) and MRR@k in percent over all {manifest.items:,} items, "
        f"{manifest.splits['test'].prefixes:,} test prefixes.{brackets}",
        markdown([_HEADER, *rows], texts=2),
        "\n".join(f"- {note}" for note in _notes(dataset, manifest, runs, all_figures, marks)),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(
    model: ModelPreset,
    runs: Sequence[Run],
    figures: Mapping[str, Published],
    marks: Mapping[str, str],
    latencies: Mapping[Path, Latencies],
) -> list[str]:
    finished = [run for run in runs if run.status == FINISHED]
    measured = [run.figures for run in finished]

    def mean(name: str, digits: int) -> str:
        values = [own[name] for own in measured if name in own]
        if not values:
            return MISSING
        mean, deviation = mean_and_deviation(values)
        return f"{mean:,.{digits}f}" + (f" ± {deviation:.{digits}f}" if len(values) > 1 else "")

    cells = [str(model), _seeds(model, runs)]
    for name in COLUMNS:
        cell, figure = mean(name, 2), figures.get(name)
        if figure:
            mark = marks.get(figure.source, "") + ("" if figure.is_possible else IMPOSSIBLE)
            cell += f" ({figure.value:.2f}{mark})"
        cells.append(cell)
    cells.append(mean("seconds_per_epoch", 1))
    epochs = [f"{own['best_epoch']}" for own in measured if "best_epoch" in own]
    cells.append(", ".join(epochs) or MISSING)
    timed = next((latencies[run.path] for run in finished if run.path in latencies), None)
    for name in BATCH_SIZES:
        cells.append(f"{1000 * statistics.median(timed[name]):.3f}" if timed else MISSING)
    cells.append(f"{measured[0]['parameters']:,}" if measured else MISSING)
    peaks = [own["peak_memory_megabytes"] for own in measured]
    return [*cells, f"{max(peaks):,}" if peaks else MISSING]


def _seeds(model: ModelPreset, runs: Sequence[Run]) -> str:
    """List the seeds of the finished runs, and the status of the others."""
    finished = [run for run in runs if run.status == FINISHED]
    others = [run for run in runs if run.status != FINISHED]
    if not finished and len(others) == 1:
        return others[0].status
    parts = [", ".join(str(run.seed) if model.is_trained else "any" for run in finished)]
    return "; ".join(filter(None, [*parts, *(f"{run.seed} {run.status}" for run in others)]))


def _notes(
    dataset: str,
    manifest: Manifest,
    runs: Sequence[Run],
    figures: Iterable[Published],
    marks: Mapping[str, str],
) -> Iterable[str]:
    items = item_counts().get(dataset)
    if items is not None and manifest.items != items:
        yield (
            f"This is not the paper's data, whose {dataset} has {items:,} items: do not compare "
            f"the measured figures with the published ones."
        )
    for source, mark in marks.items():
        yield f"{mark} {source[0].upper()}{source[1:]}."
    if any(not figure.is_possible for figure in figures):
        yield (
            f"{IMPOSSIBLE} No ranking produces these figures of a row together: MRR@k is at most "
            f"Recall@k, and MRR@10 - MRR@5 lies between (R@10 - R@5) / 10 and (R@10 - R@5) / 6."
        )
    yield "With several seeds: mean ± standard deviation."
    shared = dict.fromkeys(str(run.model) for run in runs if run.has_shared_selection)
    if shared:
        yield (
            f"One seed's validation chose the epoch of all seeds: {', '.join(shared)}. Standard "
            f"deviations leave out what the choice varies."
        )
    yield (
        "s/epoch: seconds of an epoch's training steps, in the training with validation. "
        "ms/session: time to recommend 20 of all items by the first seed's model, for sessions "
        "alone and in batches of 512, median of the rounds. Peak memory: of the process that "
        "trained and tested."
    )
    deviations = [(run.deviations(), str(run.model)) for run in runs if run.status == FINISHED]
    for settings, names in _grouped(
        (", ".join(f"{name} {value}" for name, value in settings.items()), model)
        for settings, model in deviations
        if settings
    ):
        yield f"With other settings than the preset's and refit: {settings}, in {names}."
    others = [(run.status, str(run.model)) for run in runs if run.status != FINISHED]
    for status, names in _grouped(others):
        yield f"{status.capitalize()}: {names}."


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Group the second values by the first one, each listed once."""
    groups: dict[str, dict[str, None]] = {}
    for first, second in pairs:
        groups.setdefault(first, {})[second] = None
    return [(first, ", ".join(seconds)) for first, seconds in groups.items()]


def csv_rows(
    dataset: str, runs: Sequence[Run], latencies: Mapping[Path, Latencies]
) -> list[Sequence[Any]]:
    """List the table's numbers, a row for each run under a header; metrics are in percent."""
    own = (
        *COLUMNS,
        "seconds_per_epoch",
        "epochs",
        "best_epoch",
        "parameters",
        "peak_memory_megabytes",
    )
    of_latency = [f"{name}_ms_{what}" for name in BATCH_SIZES for what in ("median", "min")]
    of_papers = [
        f"published_{name}{end}" for name in COLUMNS for end in ("", "_possible", "_source")
    ]
    described = ("dataset", "model", "preset", "settings", "seed", "status")
    header = (*described, *own, *of_latency, *of_papers)
    rows: list[Sequence[Any]] = [header]
    for run in runs:
        changes = ",".join(run.model.change_texts)
        cells: list[Any] = [dataset, run.model.model, run.model.preset, changes]
        cells += [run.seed, run.status]
        cells += [run.figures.get(name, "") for name in own]
        for name in BATCH_SIZES:
            seconds = latencies[run.path][name] if run.path in latencies else []
            cells += [1000 * of(seconds) if seconds else "" for of in (statistics.median, min)]
        figures = published_for(dataset, run.model)
        for name in COLUMNS:
            figure = figures.get(name)
            cells += [figure.value, figure.is_possible, figure.source] if figure else [""] * 3
        rows.append(cells)
    return rows
