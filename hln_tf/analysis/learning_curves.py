"""Learning curves of runs, from their results or, while they are under way, their events."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hln_tf.analysis.comparison import differences_in
from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import RunDirectory

# By the run's name, one entry of figures for each epoch.
Curves = dict[str, list[dict[str, float]]]

# Before the names of these figures among the events.
OF_EPOCHS = "epoch/"


def read_curves(runs: Sequence[Path]) -> tuple[Curves, str]:
    """The learning curves of runs.

    Args:
      runs: Workdirs of runs, finished or under way.

    Returns:
      The curves by what tells the runs apart, their paths and the settings in
      which they differ, and a title that says data set and model.

    Raises:
      HlnError: One of them is no run, or has finished no epoch.
    """
    workdirs = [RunDirectory(run) for run in dict.fromkeys(runs)]
    configs = [workdir.config() for workdir in workdirs]
    models = [config.model for config in configs]
    different = differences_in(models, [workdir.path for workdir in workdirs])
    parents = os.path.commonpath([workdir.path.absolute().parent for workdir in workdirs])
    names = [os.path.relpath(workdir.path.absolute(), parents) for workdir in workdirs]
    curves = {
        f"{name} ({told})" if told else name: read_curve(workdir)
        for name, told, workdir in zip(names, different, workdirs, strict=True)
    }
    datasets = dict.fromkeys(config.data.dataset for config in configs)
    title = f"Learning curves: {', '.join(dict.fromkeys(models))} on {', '.join(datasets)}"
    return curves, title


def read_curve(workdir: RunDirectory) -> list[dict[str, float]]:
    """The figures of each epoch of a run, as `history` in its results.

    An epoch of which nothing is known, as of a trial that goes on from another, has none.

    Raises:
      HlnError: It has finished no epoch.
    """
    metrics = workdir.metrics() or {}
    curve: list[dict[str, float]] = metrics.get("history") or _from_events(workdir)
    if not curve:
        raise HlnError(
            f"{workdir.path} has no learning curve: its model counts and has no epochs, or its "
            f"training has not finished the first one yet"
        )
    return curve


def _from_events(workdir: RunDirectory) -> list[dict[str, float]]:
    directory = workdir.events("selection")
    if not directory.is_dir():
        return []
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events: Any = EventAccumulator(str(directory), size_guidance={TENSORS: 0}).Reload()
    by_epoch: dict[int, dict[str, float]] = {}
    for tag in events.Tags()["tensors"]:
        if tag.startswith(OF_EPOCHS):
            for event in events.Tensors(tag):  # of an epoch that was repeated the last one counts
                value = float(make_ndarray(event.tensor_proto))
                by_epoch.setdefault(event.step, {})[tag.removeprefix(OF_EPOCHS)] = value
    return [by_epoch.get(epoch, {}) for epoch in range(1, max(by_epoch, default=0) + 1)]
