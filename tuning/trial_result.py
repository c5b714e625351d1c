"""Result of a trial."""

import dataclasses
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.plan import EPOCHS, PARENT, Plan
from tuning.stopping import score_metric, stopped_after
from tuning.trial import failure_reason


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Attributes:
      number: Number of the trial, from 0.
      hyperparameters: Its hyperparameters as KerasTuner stores them.
      values: The values of the settings that are searched, without those that
        have no effect in it.
      epochs: Maximum number of epochs, those of its parent included.
      parent: Number of the trial that it was promoted from, or None.
      score: Its validation MRR@20, of several data sets the geometric mean; None if
        it failed.
      scores: Its validation MRR@20 on each of several data sets; empty for one.
      stopped: The epoch after which it was stopped on each data set, or None.
      reason: Reason of its failure, or "".
    """

    number: int
    hyperparameters: dict[str, Any]
    values: dict[str, Any]
    epochs: int
    parent: int | None
    score: float | None
    scores: tuple[float, ...]
    stopped: tuple[int | None, ...]
    reason: str

    @classmethod
    def from_trial(cls, plan: Plan, trial: Trial) -> "TrialResult":
        """Create the result of a trial that has ended."""
        hyperparameters = dict(trial.hyperparameters.values)
        completed = trial.status == TrialStatus.COMPLETED
        parent = hyperparameters.get(PARENT)
        indices = range(len(plan.datasets))
        names = [score_metric(data) for data in indices] if completed and indices[1:] else []
        return cls(
            number=int(trial.trial_id),
            hyperparameters=hyperparameters,
            values=plan.space.values(hyperparameters),
            epochs=hyperparameters.get(EPOCHS, plan.base.training.epochs),
            parent=None if parent is None else int(parent),
            score=float(trial.score) if completed else None,
            scores=tuple(float(trial.metrics.get_best_value(name)) for name in names),
            stopped=tuple(stopped_after(trial, data) for data in indices),
            reason=""
            if completed
            else failure_reason(plan.trial_directory(trial.trial_id)) or "the reason is unknown",
        )
