"""The median stopping rule: a trial that trails earlier ones ends early.

A trial stops after an epoch by which its best validation MRR@20 is below the median, over
the trials that have ended with a score, of their best by the same epoch, once there are
five of them (Golovin et al., Google Vizier, KDD 2017, with the best instead of the mean).
"""

import statistics
from collections.abc import Sequence

from keras_tuner.engine.trial import Trial, TrialStatus

MIN_TRIALS = 5


def epoch_metric(data: int) -> str:
    """Return the name of the validation MRR@20 of an epoch on one of the data sets."""
    return f"epoch_{data}"


def score_metric(data: int) -> str:
    """Return the name of a trial's score on one of the data sets."""
    return f"score_{data}"


def stopped_after(trial: Trial, data: int) -> int | None:
    """Return the epoch after which a trial was stopped on one of the data sets, or None."""
    name = _stop_metric(epoch_metric(data))
    return int(trial.metrics.get_best_value(name)) if trial.metrics.exists(name) else None


def record(trial: Trial, name: str, value: float, step: int) -> None:
    """Add a value to a trial's metrics."""
    if not trial.metrics.exists(name):
        trial.metrics.register(name, direction="max")
    trial.metrics.update(name, value, step=step)


def is_stopped(trial: Trial, name: str, epoch: int, ended: Sequence[Trial]) -> bool:
    """Apply the rule to a trial after an epoch, and record in it if it is stopped.

    Args:
      trial: The trial, which has the metric.
      name: An epoch's metric; others stop no trial.
      epoch: Number of the epoch, from 1.
      ended: The trials that have ended.
    """
    if not name.startswith(epoch_metric(0)[:-1]):
        return False
    stop = _stop_metric(name)
    if trial.metrics.exists(stop):  # a trial that is run again after a kill
        return epoch >= trial.metrics.get_best_value(stop)
    completed = [each for each in ended if each.status == TrialStatus.COMPLETED]
    others = [value for each in completed for value in _best(each, name, epoch)]
    (own,) = _best(trial, name, epoch)
    is_trailing = len(others) >= MIN_TRIALS and own < statistics.median(others)
    if is_trailing:
        record(trial, stop, epoch, 0)
    return is_trailing


def _stop_metric(name: str) -> str:
    return f"stopped_{name}"


def _best(trial: Trial, name: str, epoch: int) -> list[float]:
    """Return a trial's best value by an epoch, in a list; an empty one if it has none."""
    history = trial.metrics.get_history(name) if trial.metrics.exists(name) else []
    values = [float(each.mean()) for each in history if each.step <= epoch]
    return [max(values)] if values else []
