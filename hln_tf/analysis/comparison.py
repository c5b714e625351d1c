"""Comparisons of runs: tables of their results, and the settings in which they differ."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import CONFIG, METRICS

COLUMNS = tuple(f"{metric}@{k}" for metric in ("recall", "mrr") for k in (5, 10, 20))
DESCRIPTION = ("model", "data set", "trained on")
# Settings that change no result, and the seed, over which means go.
NON_IDENTIFYING_SETTINGS = (
    "seed",
    "checkpoint_minutes",
    "evaluation_batch_size",
    "score_megabytes",
    "deterministic",
)
TITLES = tuple(name.replace("recall", "R").replace("mrr", "MRR") for name in COLUMNS)


def read_results(run: Path) -> dict[str, Any]:
    """The results of a run.

    Args:
      run: A workdir.

    Raises:
      HlnError: The directory holds no finished run.
    """
    remedy = "name workdirs of finished runs of python -m hln_tf.train"
    results = files.read_json(run / METRICS, remedy)
    try:
        float(sum(results["test"][name] for name in COLUMNS))
        "".join(describe(results))
    except (KeyError, TypeError):
        raise HlnError(f"{run / METRICS} holds no test metrics: {remedy}") from None
    return results


def describe(results: dict[str, Any]) -> tuple[str, ...]:
    """Model, data set and what of it the model was trained on."""
    return results["model"], results["dataset"], results["trained_on"]


def read_settings(run: Path) -> dict[str, Any]:
    """The settings of a run's model and training by name, empty where it has none."""
    if not (run / CONFIG).is_file():
        return {}
    config = files.read_json(run / CONFIG, "restore it, or train again in another --workdir")
    settings = {**config.get("model_settings", {}), **config.get("training", {})}
    return {name: value for name, value in settings.items() if name not in NON_IDENTIFYING_SETTINGS}


def differences(runs: Sequence[Path]) -> list[str]:
    """For each run the settings in which runs of its model differ, such as `gates none`."""
    return differences_in([read_results(run)["model"] for run in runs], runs)


def differences_in(models: Sequence[str], runs: Sequence[Path]) -> list[str]:
    """The same for runs whose models are known, finished or not."""
    settings = [read_settings(run) for run in runs]
    told = []
    for model, own in zip(models, settings, strict=True):
        others = [other for name, other in zip(models, settings, strict=True) if name == model]
        told.append(
            ", ".join(
                f"{name} {value}"
                for name, value in own.items()
                if any(other.get(name) != value for other in others)
            )
        )
    return told


def table(runs: Sequence[Path]) -> str:
    """A Markdown table of test metrics in percent, one row for each run.

    Args:
      runs: Workdirs of finished runs.

    Raises:
      HlnError: One of them holds no finished run.
    """
    rows = []
    for run, different in zip(runs, differences(runs), strict=True):
        results = read_results(run)
        figures = [f"{100 * results['test'][name]:.2f}" for name in COLUMNS]
        rows.append([str(run), *describe(results), different, *figures])
    return settings_table([["run", *DESCRIPTION, "settings", *TITLES], *rows], texts=5)


def mean_table(runs: Sequence[Path]) -> str:
    """The same with one row for all runs that differ in the seed alone.

    Figures are mean and standard deviation.
    """
    groups: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for run, different in zip(runs, differences(runs), strict=True):
        results = read_results(run)
        groups.setdefault((*describe(results), different), []).append(results["test"])
    rows = []
    for description, tests in groups.items():
        columns = [[100 * test[name] for test in tests] for name in COLUMNS]
        figures = [f"{statistics.mean(column):.2f}" for column in columns]
        if len(tests) > 1:
            spreads = [f" ± {statistics.stdev(column):.2f}" for column in columns]
            figures = [mean + spread for mean, spread in zip(figures, spreads, strict=True)]
        rows.append([*description, str(len(tests)), *figures])
    return settings_table([[*DESCRIPTION, "settings", "runs", *TITLES], *rows], texts=4)


def settings_table(rows: Sequence[Sequence[str]], texts: int) -> str:
    """The table of these rows, without the column of settings where no run differs."""
    column = texts - 1
    if any(row[column] for row in rows[1:]):
        return markdown(rows, texts)
    return markdown([[*row[:column], *row[column + 1 :]] for row in rows], column)


def markdown(rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table that reads well as plain text too.

    Args:
      rows: The cells; the first row is the header.
      texts: How many columns, from the left, hold text and not figures.
    """
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
