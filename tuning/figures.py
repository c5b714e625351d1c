"""Figure of a search: hyperparameter importance, and the score of each value that was tried."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np

from hln_tf.analysis import new_figure, save_picture
from hln_tf.common.settings import Range
from tuning.importance import Importance, measure_importance
from tuning.plan import Plan
from tuning.space import Hyperparameter
from tuning.trial_result import TrialResult

_COLUMNS = 3
MIN_TRIALS_PER_HYPERPARAMETER = 5
WIDTH = 10.0
_DARK, _LIGHT = "#4C9BD1", "#DCE6ED"  # distinguishable in greyscale too
STYLE: dict[Any, Any] = {"font.size": 11, "axes.axisbelow": True}


def draw_importance(plan: Plan, trials: Sequence[TrialResult], failed: int, path: Path) -> None:
    """Draw the importance of the hyperparameters, and the score of each value that was tried.

    With fewer than five trials for each hyperparameter it says that these are too few to
    say which matter, and draws the values alone.

    Args:
      plan: The search.
      trials: The trials that have a score, best first.
      failed: Number of trials that have failed.
      path: Path of the figure without `.png` and `.svg`.
    """
    searched = {each.name: each for each in plan.space.hyperparameters}
    needed = MIN_TRIALS_PER_HYPERPARAMETER * len(searched)
    importances = []
    if len(trials) >= needed:
        importances = measure_importance(
            plan.space.hyperparameters,
            [each.values for each in trials],
            [each.score or 0.0 for each in trials],
            [each.epochs for each in trials],
        )
    names = [each.name for each in importances] or list(searched)
    rows = -(-len(names) // _COLUMNS)
    heights = [1.5 + 0.33 * len(names) if importances else 0.9, 2.4 * rows + 0.4]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 1.0 + sum(heights), title(plan, len(trials), failed))
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        above, below = parts
        if importances:
            _draw_importances(above.subplots(), importances)
        else:
            _draw_note(above.subplots(), len(trials), needed, len(searched))
        panels = below.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
        for axes in panels.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(panels.flat, names, strict=False):
            _draw_values(axes, searched[name], trials)
        below.supylabel("validation MRR@20 (%)", fontsize=11)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        below.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        save_picture(figure, path)


def title(plan: Plan, completed: int, failed: int) -> str:
    """Return the title of a figure of a search."""
    trials = "1 trial" if completed == 1 else f"{completed} trials"
    data = " and ".join(plan.data_names)
    lines = [f"{plan.base.model} on {data}, {trials} of {plan.settings.tuner} search"]
    return "\n".join([*lines, *([f"{failed} failed left out"] if failed else [])])


def _draw_note(axes: Any, completed: int, needed: int, hyperparameters: int) -> None:
    trials = "1 trial is" if completed == 1 else f"{completed} trials are"
    text = (
        f"{trials} too few to say which of {hyperparameters} hyperparameters matter:\n"
        f"importance is shown from {needed} trials on"
    )
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    axes.set_axis_off()


def _draw_importances(axes: Any, importances: Sequence[Importance]) -> None:
    positions = np.arange(len(importances))[::-1]
    significant = [each.explained_variance > each.threshold for each in importances]
    axes.barh(
        positions,
        [100 * each.explained_variance for each in importances],
        height=0.62,
        color=[_DARK if it else _LIGHT for it in significant],
        edgecolor="black",
        linewidth=0.8,
    )
    axes.plot(
        [100 * each.threshold for each in importances],
        positions,
        linestyle="none",
        marker="|",
        markersize=17,
        markeredgewidth=2.2,
        color="black",
        label="95th percentile under random permutation: a shorter bar is not significant",
    )
    axes.set_yticks(positions, [each.name for each in importances])
    axes.set_xlim(0, 104)
    axes.set_xlabel("variance of the trials' ranks explained by the hyperparameter alone (%)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False, fontsize=10)


def _draw_values(axes: Any, searched: Hyperparameter, trials: Sequence[TrialResult]) -> None:
    best = trials[0]
    trials = [each for each in trials if searched.name in each.values]
    values = [each.values[searched.name] for each in trials]
    is_range = isinstance(searched.domain, Range)
    names = [str(each) for each in ([] if is_range else searched.choices)]
    positions = values if is_range else [names.index(str(value)) for value in values]
    scores = [100 * (each.score or 0.0) for each in trials]
    default = [each.number == 0 for each in trials]
    for label, shown, style in (
        ("a trial", [not it for it in default], {"marker": "o", "s": 30, "c": "#777777"}),
        (
            "trial 0, the default",
            default,
            {"marker": "D", "s": 60, "c": "white", "linewidths": 1.6},
        ),
        ("the best", [each is best for each in trials], {"marker": "*", "s": 130, "c": "black"}),
    ):
        x = [position for position, it in zip(positions, shown, strict=True) if it]
        y = [score for score, it in zip(scores, shown, strict=True) if it]
        axes.scatter(x, y, label=label, edgecolors="black", **style)
    axes.set_xlabel(searched.name)
    axes.margins(0.12)
    axes.grid(alpha=0.3)
    if not isinstance(searched.domain, Range):
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        return
    ends = [*positions, searched.domain.low, searched.domain.high]
    if searched.domain.log and min(ends) <= 0:  # a default such as 0 for none
        axes.set_xscale("symlog", linthresh=searched.domain.low)
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.tick_params(axis="x", labelsize=9)
    elif searched.domain.log:
        axes.set_xscale("log")
        axes.set_xlim(min(ends) / 1.2, max(ends) * 1.2)
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.tick_params(axis="x", labelsize=9)
    else:
        margin = 0.08 * (max(ends) - min(ends))
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        is_whole = isinstance(searched.default, int)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=is_whole))
