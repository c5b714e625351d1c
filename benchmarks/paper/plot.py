"""Table 1 as a plot: a panel for each metric, a line for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.paper.published import Published, published_for
from benchmarks.paper.report import mean_and_deviation
from benchmarks.paper.runs import Run, by_model
from hln_tf.analysis import COLUMNS, new_figure

_MEASURED: dict[str, Any] = {
    "color": "#0072B2",
    "marker": "o",
    "markersize": 5,
    "linestyle": "none",
}
_PUBLISHED: dict[str, Any] = {
    "color": "#D55E00",
    "marker": "D",
    "markersize": 9,
    "fillstyle": "none",
    "linestyle": "none",
    "markeredgewidth": 1.4,
}
_IMPOSSIBLE: dict[str, Any] = {**_PUBLISHED, "marker": "x", "markersize": 7}


def plot_table(dataset: str, runs: Sequence[Run], title: str) -> Figure:
    """Plot the measured figures and the published ones.

    Args:
      dataset: Name of the data set.
      runs: The runs of all models.
      title: Title of the figure.
    """
    runs_of = by_model(runs)
    figure = new_figure(8.0, 2.6 + 0.46 * len(runs_of), title)
    layout: Any = figure.get_layout_engine()
    layout.set(hspace=0.06)
    all_axes = figure.subplots(2, 3, sharey=True)
    for axes, metric in zip(all_axes.flat, COLUMNS, strict=True):
        for height, (model, of_model) in enumerate(runs_of.items()):
            values = [run.figures[metric] for run in of_model if run.results]
            figures = published_for(dataset, model)
            _plot_model(axes, height, values, figures, metric)
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
    all_axes[0, 0].set_ylim(len(runs_of) - 0.5, -0.5)
    for axes in all_axes[:, 0]:
        axes.set_yticks(range(len(runs_of)), [str(model) for model in runs_of])
    handles = [
        Line2D([], [], **_MEASURED, label="measured here"),
        Line2D([], [], **_PUBLISHED, label="published"),
        Line2D([], [], **_IMPOSSIBLE, label="published, but no ranking produces it"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=10)
    return figure


def _plot_model(
    axes: Any,
    height: int,
    values: Sequence[float],
    figures: Mapping[str, Published],
    metric: str,
) -> None:
    axes.axhline(height, color="#dddddd", linewidth=0.8, zorder=0)
    figure = figures.get(metric)
    if figure:
        style = _PUBLISHED if figure.is_possible else _IMPOSSIBLE
        axes.plot(figure.value, height, **style, zorder=3)
    if values:
        mean, deviation = mean_and_deviation(values)
        axes.errorbar(mean, height, xerr=deviation or None, **_MEASURED, capsize=3, zorder=4)
