"""Comparisons of runs: tables of their results, and the settings in which they differ."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from hln_tf.analysis.runs import COLUMNS, describe, read_results, read_settings

DESCRIPTION = ("model", "data set", "trained on")
# Settings that change no result, and the seed, over which means are computed.
NON_IDENTIFYING_SETTINGS = (
    "seed",
    "checkpoint_minutes",
    "evaluation_batch_size",
    "execution",
    "steps_per_execution",
    "score_megabytes",
    "deterministic",
)
TITLES = tuple(name.replace("recall", "R").replace("mrr", "MRR") for name in COLUMNS)


def setting_differences(models: Sequence[str], runs: Sequence[Path]) -> list[str]:
    """Describe the settings in which runs of the same model differ, such as `gates none`.

    Args:
      models: The model of each run.
      runs: Run directories, finished or not.

    Returns:
      For each run its own values of these settings.
    """
    settings = [read_settings(run) for run in runs]
    descriptions = []
    for model, own in zip(models, settings, strict=True):
        others = [other for name, other in zip(models, settings, strict=True) if name == model]
        descriptions.append(
            ", ".join(
                f"{name} {value}"
                for name, value in own.items()
                if name not in NON_IDENTIFYING_SETTINGS
                and any(other.get(name) != value for other in others)
            )
        )
    return descriptions


def _differences(runs: Sequence[Path]) -> list[str]:
    return setting_differences([read_results(run)["model"] for run in runs], runs)


def table(runs: Sequence[Path]) -> str:
    """Make a Markdown table of test metrics in percent, one row for each run.

    Args:
      runs: Directories of finished runs.

    Raises:
      HlnError: One of them contains no finished run.
    """
    rows = []
    for run, different in zip(runs, _differences(runs), strict=True):
        results = read_results(run)
        figures = [f"{100 * results['test'][name]:.2f}" for name in COLUMNS]
        rows.append([str(run), *describe(results), different, *figures])
    return settings_table([["run", *DESCRIPTION, "settings", *TITLES], *rows], texts=5)


def mean_table(runs: Sequence[Path]) -> str:
    """Make the same table with one row for all runs that differ in the seed alone.

    Figures are mean and standard deviation.
    """
    rows = []
    for description, group in group_by_settings(runs).items():
        tests = [read_results(run)["test"] for run in group]
        columns = [[100 * test[name] for test in tests] for name in COLUMNS]
        figures = [f"{statistics.mean(column):.2f}" for column in columns]
        if len(tests) > 1:
            spreads = [f" ± {statistics.stdev(column):.2f}" for column in columns]
            figures = [mean + spread for mean, spread in zip(figures, spreads, strict=True)]
        rows.append([*description, str(len(tests)), *figures])
    return settings_table([[*DESCRIPTION, "settings", "runs", *TITLES], *rows], texts=4)


def group_by_settings(runs: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Group runs that differ in the seed alone, by model, data set, parts and settings."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for run, different in zip(runs, _differences(runs), strict=True):
        groups.setdefault((*describe(read_results(run)), different), []).append(run)
    return groups


def settings_table(rows: Sequence[Sequence[str]], texts: int) -> str:
    """Make a table without its column of settings, the last text, if no run differs in any."""
    column = texts - 1
    if any(row[column] for row in rows[1:]):
        return markdown(rows, texts)
    return markdown([[*row[:column], *row[column + 1 :]] for row in rows], column)


def markdown(rows: Sequence[Sequence[str]], texts: int) -> str:
    """Make a Markdown table with aligned columns, readable as plain text too.

    Args:
      rows: The cells; the first row is the header.
      texts: Number of columns, from the left, that contain text and not figures.
    """
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths[:texts]]
    rule += ["-" * (width - 1) + ":" for width in widths[texts:]]
    lines = [
        " | ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [rows[0], rule, *rows[1:]]
    ]
    return "\n".join(f"| {line} |" for line in lines)
