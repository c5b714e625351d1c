"""Table 1 as text: our figures beside the published ones. Imports no TensorFlow."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.prediction_times import BATCH_SIZES, Times
from benchmarks.published import ITEMS, Published, published
from benchmarks.rows import FINISHED, Row, Run
from hln_tf.analysis.comparison import COLUMNS, TITLES, markdown
from hln_tf.data.layout import Manifest

NOTHING = "-"
IMPOSSIBLE = "†"
_MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
_HEADER = (
    "model (preset)",
    "seeds",
    *TITLES,
    "s an epoch",
    "best epoch",
    "ms a session, alone",
    "ms a session, of 512",
    "parameters",
    "memory, MB",
)


def by_row(runs: Iterable[Run]) -> dict[Row, list[Run]]:
    """The runs of each row, in order."""
    found: dict[Row, list[Run]] = {}
    for run in runs:
        found.setdefault(run.row, []).append(run)
    return found


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, which is 0 for one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def markdown_page(
    dataset: str, manifest: Manifest, runs: Sequence[Run], times: Mapping[Path, Times]
) -> str:
    """The table with its notes, in Markdown.

    Args:
      dataset: Name of the data set.
      manifest: What it holds.
      runs: The runs of all rows.
      times: What prediction took, by workdir.
    """
    rows = by_row(runs)
    known = {row: published(dataset, row.model, row.preset) for row in rows}
    sources = list(
        dict.fromkeys(
            figure.source
            for figures in known.values()
            for figure in figures.values()
            if figure.source
        )
    )
    cells = [_cells(row, rows[row], known[row], sources, times) for row in rows]
    test = manifest.splits["test"]
    parts = [
        f"# Table 1: {dataset}",
        f"Recall@k (R) and MRR@k in percent over all {manifest.items:,} items, "
        f"{test.prefixes:,} test prefixes. In brackets what is published; without a number, in the "
        f"paper's Table 1.",
        markdown([_HEADER, *cells], texts=2),
        "\n".join(f"- {note}" for note in _notes(dataset, manifest, rows, known, sources)),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(
    row: Row,
    runs: Sequence[Run],
    known: Mapping[str, Published],
    sources: Sequence[str],
    times: Mapping[Path, Times],
) -> list[str]:
    finished = [run for run in runs if run.status == FINISHED]
    figures = [run.figures for run in finished]

    def ours(name: str, digits: int) -> str:
        values = [own[name] for own in figures if name in own]
        if not values:
            return NOTHING
        mean, spread = mean_and_spread(values)
        return f"{mean:,.{digits}f}" + (f" ± {spread:.{digits}f}" if len(values) > 1 else "")

    cells = [str(row), _seeds(row, runs)]
    for name in COLUMNS:
        figure, beside = known.get(name), ""
        if figure:
            mark = _MARKS[sources.index(figure.source)] if figure.source else ""
            mark += "" if figure.is_possible else IMPOSSIBLE
            beside = f" ({figure.value:.2f}{mark})"
        cells.append(ours(name, 2) + beside)
    cells.append(ours("seconds_per_epoch", 1))
    epochs = [f"{own['best_epoch']}" for own in figures if "best_epoch" in own]
    cells.append(", ".join(epochs) or NOTHING)
    measured = next((times[run.path] for run in finished if run.path in times), None)
    for name in BATCH_SIZES:
        milliseconds = 1000 * statistics.median(measured[name]) if measured else None
        cells.append(NOTHING if milliseconds is None else f"{milliseconds:.3f}")
    cells.append(f"{figures[0]['parameters']:,}" if figures else NOTHING)
    peaks = [own["peak_memory_megabytes"] for own in figures]
    return [*cells, f"{max(peaks):,}" if peaks else NOTHING]


def _seeds(row: Row, runs: Sequence[Run]) -> str:
    """The seeds of a row's runs, and what became of those that are not finished."""
    finished = [run for run in runs if run.status == FINISHED]
    parts = [", ".join(str(run.seed) if row.is_trained else "any" for run in finished)]
    others = [run for run in runs if run.status != FINISHED]
    if not finished and len(others) == 1:
        return others[0].status
    return "; ".join(filter(None, [*parts, *(f"{run.seed} {run.status}" for run in others)]))


def _notes(
    dataset: str,
    manifest: Manifest,
    rows: Mapping[Row, Sequence[Run]],
    known: Mapping[Row, Mapping[str, Published]],
    sources: Sequence[str],
) -> Iterable[str]:
    if manifest.items != ITEMS[dataset]:
        yield (
            f"This is not the paper's data, whose {dataset} has {ITEMS[dataset]:,} items: do not "
            f"compare our figures with the published ones."
        )
    for mark, source in zip(_MARKS, sources, strict=False):
        yield f"{mark} {source[0].upper()}{source[1:]}."
    if any(not figure.is_possible for figures in known.values() for figure in figures.values()):
        yield (
            f"{IMPOSSIBLE} No ranking produces these figures of a row together: MRR@k is at most "
            f"Recall@k, and MRR@10 - MRR@5 lies between (R@10 - R@5) / 10 and (R@10 - R@5) / 6."
        )
    yield "Where there are several seeds: mean ± standard deviation."
    yield (
        "Seconds an epoch: those of training steps, in the training that validation judges. "
        "Milliseconds a session: the 20 best of all items by the first seed's model, for sessions "
        "alone and in batches of 512, median of the rounds. Memory: peak of the process that "
        "trained and tested."
    )
    finished = [run for runs in rows.values() for run in runs if run.status == FINISHED]
    others = [run for runs in rows.values() for run in runs if run.status != FINISHED]
    different = [(run.deviations(), str(run.row)) for run in finished]
    for told, names in _together(
        (", ".join(f"{name} {value}" for name, value in settings.items()), row)
        for settings, row in different
        if settings
    ):
        yield f"With other settings than the preset's and refit: {told}, in {names}."
    for status, names in _together((run.status, str(run.row)) for run in others):
        yield f"{status.capitalize()}: {names}."


def _together(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What each first one stands with, listed once each."""
    found: dict[str, dict[str, None]] = {}
    for first, second in pairs:
        found.setdefault(first, {})[second] = None
    return [(first, ", ".join(seconds)) for first, seconds in found.items()]


def csv_rows(dataset: str, runs: Sequence[Run], times: Mapping[Path, Times]) -> list[Sequence[Any]]:
    """The table's numbers, one row for each run, under a header; metrics are in percent."""
    own = (
        *COLUMNS,
        "seconds_per_epoch",
        "epochs",
        "best_epoch",
        "parameters",
        "peak_memory_megabytes",
    )
    predicting = [f"{name}_ms_{what}" for name in BATCH_SIZES for what in ("median", "min")]
    beside = [f"published_{name}{end}" for name in COLUMNS for end in ("", "_possible", "_source")]
    header = ("dataset", "model", "preset", "seed", "status", *own, *predicting, *beside)
    rows: list[Sequence[Any]] = [header]
    for run in runs:
        cells: list[Any] = [dataset, run.row.model, run.row.preset, run.seed, run.status]
        cells += [run.figures.get(name, "") for name in own]
        for name in BATCH_SIZES:
            seconds = times[run.path][name] if run.path in times else []
            cells += [1000 * of(seconds) if seconds else "" for of in (statistics.median, min)]
        known = published(dataset, run.row.model, run.row.preset)
        for name in COLUMNS:
            figure = known.get(name)
            source = figure and (figure.source or "the paper's Table 1")
            cells += [figure.value, figure.is_possible, source] if figure else ["", "", ""]
        rows.append(cells)
    return rows
