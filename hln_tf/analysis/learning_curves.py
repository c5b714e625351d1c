"""Learning curves of runs, from their results or, while they are training, their events."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf.analysis.comparison import setting_differences
from hln_tf.analysis.runs import EVENTS, find_results, read_config
from hln_tf.common.errors import HlnError

# By the run's name, the metrics of each epoch.
Curves = dict[str, list[dict[str, float]]]

# Prefix of the names of these metrics in the event files.
OF_EPOCHS = "epoch/"


def read_curves(runs: Sequence[Path]) -> tuple[Curves, str]:
    """Read the learning curves of runs.

    Args:
      runs: Run directories, finished or in training.

    Returns:
      The curves, named by the runs' paths and the settings in which they differ,
      and a title with data set and model.

    Raises:
      HlnError: One of them contains no run, or no finished epoch.
    """
    runs = list(dict.fromkeys(runs))
    configs = [read_config(run) for run in runs]
    models = [config["model"] for config in configs]
    different = setting_differences(models, runs)
    parents = os.path.commonpath([run.absolute().parent for run in runs])
    names = [os.path.relpath(run.absolute(), parents) for run in runs]
    curves = {
        f"{name} ({settings})" if settings else name: read_curve(run)
        for name, settings, run in zip(names, different, runs, strict=True)
    }
    datasets = dict.fromkeys(config["data"]["dataset"] for config in configs)
    title = f"Learning curves: {', '.join(dict.fromkeys(models))} on {', '.join(datasets)}"
    return curves, title


def read_curve(run: Path) -> list[dict[str, float]]:
    """Read the metrics of each epoch of a run, as `history` in its results.

    An epoch without events, such as of a trial that continues another one, has
    no metrics.

    Raises:
      HlnError: The run has no finished epoch.
    """
    results = find_results(run) or {}
    curve: list[dict[str, float]] = results.get("history") or _from_events(run)
    if not curve and "refit_history" in results:
        raise HlnError(
            f"{run} has no learning curve: another run, its `selection`, has that of the choice of "
            f"its epoch"
        )
    if not curve:
        raise HlnError(
            f"{run} has no learning curve: its model counts and has no epochs, or its "
            f"training has not finished the first one yet"
        )
    return curve


def _from_events(run: Path) -> list[dict[str, float]]:
    directory = run / EVENTS / "selection"
    if not directory.is_dir():
        return []
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events: Any = EventAccumulator(str(directory), size_guidance={TENSORS: 0}).Reload()
    by_epoch: dict[int, dict[str, float]] = {}
    for tag in events.Tags()["tensors"]:
        if tag.startswith(OF_EPOCHS):
            for event in events.Tensors(tag):  # the last one counts if an epoch was repeated
                value = float(make_ndarray(event.tensor_proto))
                by_epoch.setdefault(event.step, {})[tag.removeprefix(OF_EPOCHS)] = value
    return [by_epoch.get(epoch, {}) for epoch in range(1, max(by_epoch, default=0) + 1)]
