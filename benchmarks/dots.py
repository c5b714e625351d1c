"""Table 1 as a picture: a panel for each metric, a line for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.comparison import by_row, mean_and_spread
from benchmarks.published import published
from benchmarks.rows import Run
from hln_tf.analysis.comparison import COLUMNS
from hln_tf.analysis.pictures import new_figure

_OURS, _PUBLISHED = "#0072B2", "#D55E00"
_DOT: dict[str, Any] = {"color": _OURS, "marker": "o", "markersize": 5, "linestyle": "none"}
_RING: dict[str, Any] = {
    "color": _PUBLISHED,
    "marker": "D",
    "markersize": 9,
    "fillstyle": "none",
    "linestyle": "none",
    "markeredgewidth": 1.4,
}
_CROSS: dict[str, Any] = {**_RING, "marker": "x", "markersize": 7}


def draw_table(dataset: str, runs: Sequence[Run], title: str) -> Figure:
    """Our figures against the published ones.

    Args:
      dataset: Name of the data set.
      runs: The runs of all rows.
      title: Says what is compared.
    """
    rows = by_row(runs)
    figure = new_figure(8.0, 2.6 + 0.46 * len(rows), title)
    layout: Any = figure.get_layout_engine()
    layout.set(hspace=0.06)
    all_axes = figure.subplots(2, 3, sharey=True)
    for axes, metric in zip(all_axes.flat, COLUMNS, strict=True):
        for height, (row, own) in enumerate(rows.items()):
            values = [run.figures[metric] for run in own if run.results]
            _draw_row(axes, height, values, published(dataset, row.model, row.preset), metric)
        axes.set_title(
            metric.replace("recall", "Recall").replace("mrr", "MRR") + " (%)", fontsize=11
        )
        axes.margins(x=0.08)
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    all_axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    for axes in all_axes[:, 0]:
        axes.set_yticks(range(len(rows)), [str(row) for row in rows])
    handles = [
        Line2D([], [], **_DOT, label="measured here"),
        Line2D([], [], **_RING, label="published"),
        Line2D([], [], **_CROSS, label="published, but no ranking produces it"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=10)
    return figure


def _draw_row(
    axes: Any, height: int, values: Sequence[float], known: Mapping[str, Any], metric: str
) -> None:
    axes.axhline(height, color="#dddddd", linewidth=0.8, zorder=0)
    figure = known.get(metric)
    if figure:
        style = _RING if figure.is_possible else _CROSS
        axes.plot(figure.value, height, **style, zorder=3)
    if values:
        mean, spread = mean_and_spread(values)
        axes.errorbar(mean, height, xerr=spread or None, **_DOT, capsize=3, zorder=4)
