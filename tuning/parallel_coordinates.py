"""Figure of a search: its trials in parallel coordinates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection

from hln_tf.analysis import new_figure, save_picture
from hln_tf.common.settings import Range
from tuning.figures import STYLE, WIDTH, title
from tuning.plan import Plan
from tuning.space import Hyperparameter
from tuning.trial_result import TrialResult

_COLOURS = "cividis"  # readable in greyscale and with colour blindness
_WITHOUT = -0.14  # height of trials to which a hyperparameter does not apply
_SPREAD = 0.5  # of the trials of a choice, in its share of the axis, the better ones above
_LONG = 12  # characters of a name that is broken in two lines


def draw_parallel_coordinates(plan: Plan, trials: Sequence[TrialResult], path: Path) -> None:
    """Draw a line for each trial through its hyperparameters to its score.

    Args:
      plan: The search.
      trials: The trials that have a score, best first.
      path: Path of the figure without `.png` and `.svg`.
    """
    searched = plan.space.hyperparameters
    columns = [_heights(each, trials) for each in searched]
    scores = np.array([100 * (each.score or 0.0) for each in trials])
    low, high = scores.min(), max(scores.max(), scores.min() + 1e-6)
    lines = np.array([*columns, (scores - low) / (high - low)]).T
    x = np.arange(lines.shape[1])
    with matplotlib.rc_context(STYLE):
        width = max(WIDTH, 1.5 * len(x) + 1.5)
        figure = new_figure(width, 6.0, title(plan, len(trials), 0))
        axes: Any = figure.subplots()
        paths = [np.stack([x, line], 1) for line in lines]
        # Of trials with like scores the better ones are on top.
        strokes = LineCollection(paths[::-1], cmap=_COLOURS, linewidths=1.4, alpha=0.85)
        strokes.set_array(scores[::-1])
        strokes.set_clim(low, high)
        axes.add_collection(strokes)
        for n, trial in enumerate(trials):
            if trial.number == 0:
                label = f"trial 0, the default: {scores[n]:.2f} %"
                axes.plot(x, lines[n], "--", color="black", linewidth=2.0, label=label)
        label = f"trial {trials[0].number}, the best: {scores[0]:.2f} %"
        axes.plot(x, lines[0], color="#D55E00", linewidth=3.0, marker="o", label=label)
        for n, each in enumerate(searched):
            _draw_axis(axes, n, _ticks(each, trials))
        shown = (f"{score:.2f}" for score in (low, (low + high) / 2, high))
        _draw_axis(axes, len(searched), list(zip((0, 0.5, 1), shown, strict=True)))
        names = [each.name for each in searched]
        names = [name.replace("_", "_\n", 1) if len(name) > _LONG else name for name in names]
        axes.set_xticks(x, [*names, "validation\nMRR@20 (%)"])
        axes.set_xlim(-0.25, len(x) - 0.5)
        axes.set_ylim(_WITHOUT - 0.1, 1.08)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        save_picture(figure, path)


def _draw_axis(axes: Any, x: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([x, x], [0, 1], color="#555555", linewidth=1.2, zorder=3)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
    for height, label in ticks:
        axes.plot([x - 0.03, x], [height, height], color="#555555", linewidth=1.2, zorder=3)
        axes.text(
            x + 0.04, height, label, va="center", fontsize=9, bbox=box, zorder=4, parse_math=False
        )


def _heights(searched: Hyperparameter, trials: Sequence[TrialResult]) -> np.ndarray:
    """Return the height of each trial on a hyperparameter's axis, from 0 to 1."""
    scale = _scale(searched, trials)
    heights = np.full(len(trials), _WITHOUT)
    for n, trial in enumerate(trials):
        if searched.name in trial.values:
            heights[n] = scale(trial.values[searched.name])
            if not isinstance(searched.domain, Range):
                share = _SPREAD / len(searched.choices)
                heights[n] += share * (0.5 - n / max(len(trials) - 1, 1))
    return heights


def _scale(searched: Hyperparameter, trials: Sequence[TrialResult]) -> Any:
    """Return a function from a hyperparameter's value to its height."""
    if not isinstance(searched.domain, Range):
        choices = searched.choices
        return lambda value: (choices.index(value) + 0.5) / len(choices)
    domain = searched.domain
    tried = [trial.values[searched.name] for trial in trials if searched.name in trial.values]

    def place(value: float) -> float:
        # A default such as 0, for none, is at the lower end of a logarithmic axis.
        return float(np.log(max(value, domain.low / 2))) if domain.log else float(value)

    ends = [place(value) for value in (domain.low, domain.high, *tried)]
    low, high = min(ends), max(ends)
    return lambda value: (place(value) - low) / (high - low)


def _ticks(searched: Hyperparameter, trials: Sequence[TrialResult]) -> list[tuple[float, str]]:
    """Return the heights and labels of a hyperparameter's ticks."""
    scale = _scale(searched, trials)
    if isinstance(searched.domain, Range):
        low, high = searched.domain.low, searched.domain.high
        middle = np.sqrt(low * high) if searched.domain.log else (low + high) / 2
        values = [low, type(searched.default)(middle), high]
        ticks = [(scale(value), f"{value:.3g}") for value in values]
    else:
        ticks = [(scale(choice), str(choice)) for choice in searched.choices]
    if any(searched.name not in trial.values for trial in trials):
        ticks.append((_WITHOUT, "does not apply"))
    return ticks
