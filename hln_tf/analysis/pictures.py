"""Pictures of a trained model, rendered without a display.

Cells are coloured by cividis, which is readable in greyscale and with colour
blindness, and annotated with their numbers; lines have the colours of Okabe and
Ito, each with its own line style and marker. Text remains text in SVG.
"""

import csv
import io
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hln_tf.analysis.explanation import Explanation
from hln_tf.analysis.run_comparison import Row
from hln_tf.common import files

DPI = 150
FORMATS = ("png", "svg", "csv")

_COLOURS = "cividis"
_LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_LINE_STYLES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v")
_WIDTH = 8.0  # inches, the width of a page
_LEGEND_CHARACTERS = 80  # in a row of a legend
_ID_CHARACTERS = 16  # of an item id that are shown


def draw_retention(
    retention: npt.NDArray[np.floating], title: str, is_stretched: bool = False
) -> Figure:
    """Draw the heatmap of Figure 3: retention rates by group and position.

    Args:
      retention: [L, length], fractions of 1.
      title: Names data set, model and sessions.
      is_stretched: Whether the colour scale spans the range of the values instead
        of 0 to 100 %, by which pictures can be compared.
    """
    num_groups, length = retention.shape
    figure = new_figure(max(_WIDTH, 1.8 + 0.62 * length), max(3.4, 1.9 + 0.6 * num_groups), title)
    axes = figure.subplots()
    low, high = (retention.min(), retention.max()) if is_stretched else (0.0, 1.0)
    _draw_cells(figure, axes, retention, low, high, "retention rate: mean of 1 - p (%)")
    axes.set_xticks(np.arange(length), [str(position) for position in range(1, length + 1)])
    axes.set_xlabel("position of the click in the session, from the oldest")
    return figure


def draw_session(explanation: Explanation, title: str) -> Figure:
    """Draw one session's groups: the retention of its clicks, and each group's nearest items.

    Args:
      explanation: Explanation of a session with at least one click.
      title: Names data set and model.
    """
    num_groups, length = explanation.retention.shape
    shown = [len(_shown(item)) for items in explanation.groups for item, _ in items]
    ranks = max(map(len, explanation.groups))
    width = max(_WIDTH, 1.8 + 0.62 * length, 2.6 + ranks * (0.3 + 0.085 * max(shown, default=0)))
    figure = new_figure(width, 3.8 + 1.05 * num_groups, title)
    above, below = figure.subplots(2, 1)
    _draw_cells(figure, above, explanation.retention, 0.0, 1.0, "retention 1 - p (%)")
    labels = [
        f"{position}: {_shown(item)}" for position, item in enumerate(explanation.clicks, start=1)
    ]
    above.set_xticks(np.arange(length), labels, rotation=30, ha="right", rotation_mode="anchor")
    above.set_xlabel("click of the session, from the oldest")
    _draw_nearest(below, explanation.groups)
    for label in above.get_xticklabels():
        label.set_parse_math(False)
    return figure


def draw_groups(
    clicks: Sequence[str],
    truth: npt.NDArray[np.int64],
    retention: npt.NDArray[np.floating],
    title: str,
) -> Figure:
    """Draw the known groups of a session's clicks above those that a model finds.

    Args:
      clicks: Item id of each click, oldest first.
      truth: Known group of each click; below 0 for none.
      retention: [L, clicks], fractions of 1.
      title: Names data set and model.
    """
    known = np.unique(truth[truth >= 0])
    width = max(_WIDTH, 1.8 + 0.62 * len(clicks))
    figure = new_figure(width, 3.4 + 0.6 * (len(known) + len(retention)), title)
    heights = [len(known) + 0.5, len(retention) + 0.5]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _draw_cells(figure, above, (truth == known[:, None]).astype(float), 0.0, 1.0, "of the group")
    above.set_ylabel("known group")
    _draw_cells(figure, below, retention, 0.0, 1.0, "retention 1 - p (%)")
    below.set_ylabel("found group")
    labels = [f"{position}: {_shown(item)}" for position, item in enumerate(clicks, start=1)]
    below.set_xticks(np.arange(len(clicks)), labels, rotation=30, ha="right")
    below.set_xlabel("click of the session, from the oldest")
    for label in below.get_xticklabels():
        label.set_parse_math(False)
    return figure


def draw_learning(
    curves: Mapping[str, Sequence[Mapping[str, float]]], best: str, title: str
) -> Figure:
    """Draw the learning curves of several runs.

    Args:
      curves: By the run's name one entry for each epoch, with `loss` and, if it
        was validated, metrics such as `mrr@20` as fractions of 1.
      best: Name of the metric that selects the epoch.
      title: Names data set and model.
    """
    panels = {
        "loss": ("training loss\n(mean, nats)", 1),
        "mrr@20": ("validation\nMRR@20 (%)", 100),
        "recall@20": ("validation\nRecall@20 (%)", 100),
    }
    rows = -(-len(curves) // _legend_columns(curves))
    figure = new_figure(_WIDTH, 7.2 + 0.24 * rows, title)
    all_axes = figure.subplots(len(panels), 1, sharex=True)
    styles = zip(
        itertools.cycle(_LINE_COLOURS),
        itertools.cycle(_LINE_STYLES),
        itertools.cycle(_MARKERS),
        strict=False,
    )
    for (run, entries), (colour, line, marker) in zip(curves.items(), styles, strict=False):
        chosen = int(np.argmax([entry.get(best, 0) for entry in entries]))
        for axes, (name, (_, factor)) in zip(all_axes, panels.items(), strict=True):
            axes.plot(
                np.arange(1, len(entries) + 1),
                [factor * entry.get(name, np.nan) for entry in entries],
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=4,
                markevery=max(1, len(entries) // 20),
                label=textwrap.fill(run, _LEGEND_CHARACTERS),
            )
            value = factor * entries[chosen].get(name, np.nan)
            axes.plot(chosen + 1, value, color=colour, marker="o", markersize=11, fillstyle="none")
    for axes, (label, _) in zip(all_axes, panels.values(), strict=True):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("epoch; a ring marks the one that validation selected")
    all_axes[-1].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
    all_axes[-1].set_xlim(0.5, max(map(len, curves.values())) + 0.5)
    handles, labels = all_axes[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=_legend_columns(curves), handlelength=4
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def draw_embeddings(
    points: npt.NDArray[np.floating],
    clicks: npt.NDArray[np.integer],
    variances: Sequence[float],
    title: str,
) -> Figure:
    """Draw a projection of item embeddings, coloured by popularity.

    Args:
      points: [items, 2].
      clicks: [items], clicks on each item, by which points are coloured and sized.
      variances: Fraction of the variance along each of the two axes.
      title: Names data set, model and items.
    """
    figure = new_figure(_WIDTH, 6.4, title)
    axes = figure.subplots()
    order = np.argsort(clicks, kind="stable")  # popular items on top
    weight = np.log1p(clicks) / max(np.log1p(clicks.max()), 1)
    first, second = points[order].T
    scatter = axes.scatter(
        first,
        second,
        c=np.maximum(clicks[order], 1),
        s=4 + 40 * weight[order] ** 2,
        cmap=_COLOURS,
        norm=matplotlib.colors.LogNorm(1, max(clicks.max(), 10)),
        linewidths=0,
        rasterized=True,
    )
    bar = figure.colorbar(scatter, ax=axes)
    bar.set_label("clicks on the item in training, at least 1")
    axes.set_xlabel(f"first principal component ({variances[0]:.1%} of the variance)")
    axes.set_ylabel(f"second principal component ({variances[1]:.1%} of the variance)")
    axes.grid(alpha=0.3)
    return figure


def draw_differences(rows: Sequence[Row]) -> Figure:
    """Draw comparisons with one model, each with its interval, one above the other.

    Args:
      rows: The comparisons, from the top down; those that a test finds to differ
        are filled.
    """
    figure = new_figure(_WIDTH, 1.8 + 0.32 * len(rows), f"compared with {rows[0].first}")
    axes = figure.subplots()
    for place, found in enumerate(row.difference for row in rows):
        colour = _LINE_COLOURS[0] if found.differs else "#666666"
        axes.hlines(place, 100 * found.low, 100 * found.high, color=colour, linewidth=2)
        style = "full" if found.differs else "none"
        axes.plot(100 * found.value, place, "o", color=colour, fillstyle=style)
    labels = [
        ", ".join(filter(None, (row.second, row.metric, row.by and f"{row.by}: {row.label}")))
        for row in rows
    ]
    axes.axvline(0, color="black", linewidth=1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(rows)), labels)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("difference in points, with its interval; filled where the test finds one")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_slices(rows: Sequence[tuple[str, str, float, float]], metric: str, title: str) -> Figure:
    """Draw a metric by slice, as bars.

    Args:
      rows: Of each slice what divides the examples, its value, the metric as a
        fraction of 1 and the share of the examples.
      metric: Name of the metric.
      title: Names data set and model.
    """
    figure = new_figure(_WIDTH, 2.0 + 0.28 * len(rows), title)
    axes = figure.subplots()
    for place, (by, _, value, share) in enumerate(rows):
        axes.barh(place, 100 * value, color=_LINE_COLOURS[0], height=0.7)
        axes.text(100 * value, place, f" {100 * value:.1f} ({share:.0%})", va="center")
        if place and rows[place - 1][0] != by:
            axes.axhline(place - 0.5, color="#bbbbbb", linewidth=1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    labels = [f"{by}: {label}" for by, label, _, _ in rows]
    axes.set_yticks(np.arange(len(rows)), labels, parse_math=False)  # values may have a $
    axes.set_xlabel(f"{metric} (%), in brackets the share of the examples")
    axes.set_xlim(0, 130 * max(max(value for _, _, value, _ in rows), 0.01))
    return figure


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Render a figure as an image, uint8 [height, width, 4]."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def save(figure: Figure, rows: Sequence[Sequence[Any]], stem: Path) -> list[Path]:
    """Write a picture as PNG and SVG and its numbers as CSV, each file atomically.

    Args:
      figure: The picture.
      rows: Its numbers; the first row is the header.
      stem: Path of the files without the extension.

    Returns:
      The files.
    """
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows(rows)
    numbers = stem.with_name(f"{stem.name}.csv")
    with files.atomic_write(numbers) as temporary:
        temporary.write_text(table.getvalue(), "utf-8")
    return [*save_picture(figure, stem), numbers]


def save_picture(figure: Figure, stem: Path) -> list[Path]:
    """Write a picture as PNG and SVG, each file atomically.

    Args:
      figure: The picture.
      stem: Path of the files without the extension.

    Returns:
      The files.
    """
    paths = []
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "hln_tf"}
    for extension, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        path = stem.with_name(f"{stem.name}.{extension}")
        with files.atomic_write(path) as temporary, matplotlib.rc_context(style):
            figure.savefig(temporary, format=extension, dpi=DPI, metadata=metadata)
        paths.append(path)
    return paths


def new_figure(width: float, height: float, title: str) -> Figure:
    """Make an empty figure of a size in inches, which needs no display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=13, parse_math=False)
    return figure


def _draw_cells(
    figure: Figure,
    axes: Any,
    values: npt.NDArray[np.floating],
    low: float,
    high: float,
    label: str,
) -> None:
    """Draw cells by group and column, coloured and annotated in percent."""
    # A mesh instead of an image, so that the cells are shapes in SVG too.
    norm = matplotlib.colors.Normalize(low, high)
    rows, columns = (np.arange(size + 1) - 0.5 for size in values.shape)
    mesh = axes.pcolormesh(
        columns, rows, values, cmap=_COLOURS, norm=norm, edgecolors="white", linewidth=1.5
    )
    _group_ticks(axes, len(values))
    digits = 2 if values.min() > 0.95 else 1
    for (group, column), value in np.ndenumerate(values):
        red, green, blue, _ = mesh.cmap(norm(value))
        is_bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(
            column,
            group,
            f"{100 * value:.{digits}f}",
            ha="center",
            va="center",
            fontsize=11,
            color="black" if is_bright else "white",
        )
    bar = figure.colorbar(mesh, ax=axes, format=matplotlib.ticker.PercentFormatter(1))
    bar.set_label(label)


def _draw_nearest(axes: Any, groups: Sequence[Sequence[tuple[str, float]]]) -> None:
    """Draw a grid of the items nearest to each group."""
    columns = max(1, max(map(len, groups)))
    axes.set_xlim(-0.5, columns - 0.5)
    _group_ticks(axes, len(groups))
    for row, items in enumerate(groups):
        cells = [f"{_shown(item)}\n{score:.2f}" for item, score in items]
        for column, text in enumerate(cells or ["retains no click"]):
            axes.text(column, row, text, ha="center", va="center", fontsize=10, parse_math=False)
    axes.set_xticks(np.arange(columns), [str(rank) for rank in range(1, columns + 1)])
    axes.hlines(np.arange(len(groups) - 1) + 0.5, -0.5, columns - 0.5, color="#bbbbbb", linewidth=1)
    axes.set_xlabel("items nearest to the group, by rank, with their score")


def _group_ticks(axes: Any, num_groups: int) -> None:
    axes.set_ylim(num_groups - 0.5, -0.5)
    axes.set_yticks(np.arange(num_groups), [f"group {group + 1}" for group in range(num_groups)])
    axes.set_ylabel("preference group")
    axes.tick_params(length=0)


def _legend_columns(labels: Mapping[str, Any]) -> int:
    """Return the number of columns that fit the width."""
    longest = max(map(len, labels))
    return max(1, min(len(labels), 4, _LEGEND_CHARACTERS // (longest + 8)))


def _shown(item_id: str) -> str:
    return item_id if len(item_id) <= _ID_CHARACTERS else f"{item_id[: _ID_CHARACTERS - 1]}…"
