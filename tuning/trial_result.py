"""Result of a trial."""

import dataclasses
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.plan import EPOCHS, PARENT, Plan
from tuning.trial import failure_reason


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Attributes:
      number: Number of the trial, from 0.
      hyperparameters: Its hyperparameters as KerasTuner stores them.
      values: The values of the settings that are searched.
      epochs: Maximum number of epochs, those of its parent included.
      parent: Number of the trial that it was promoted from, or None.
      score: Its validation MRR@20; None if it failed.
      reason: Reason of its failure, or "".
    """

    number: int
    hyperparameters: dict[str, Any]
    values: dict[str, Any]
    epochs: int
    parent: int | None
    score: float | None
    reason: str

    @classmethod
    def from_trial(cls, plan: Plan, trial: Trial) -> "TrialResult":
        """Create the result of a trial that has ended."""
        hyperparameters = dict(trial.hyperparameters.values)
        completed = trial.status == TrialStatus.COMPLETED
        parent = hyperparameters.get(PARENT)
        run = plan.run_directory(trial.trial_id)
        return cls(
            number=int(trial.trial_id),
            hyperparameters=hyperparameters,
            values=plan.space.values(hyperparameters),
            epochs=hyperparameters.get(EPOCHS, plan.base.training.epochs),
            parent=None if parent is None else int(parent),
            score=float(trial.score) if completed else None,
            reason="" if completed else failure_reason(run) or "the reason is unknown",
        )
