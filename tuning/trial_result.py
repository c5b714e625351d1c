"""How a trial ended."""

import dataclasses
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.plan import EPOCHS, PARENT, Plan
from tuning.trial import failure


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
      number: The trial, from 0.
      drawn: Its hyperparameters as KerasTuner has them.
      values: The settings that were searched.
      epochs: Epochs that it was allowed in all.
      parent: The trial that it went on from, or None.
      score: Its validation MRR@20; None where it failed.
      reason: Why it failed, or "".
    """

    number: int
    drawn: dict[str, Any]
    values: dict[str, Any]
    epochs: int
    parent: int | None
    score: float | None
    reason: str

    @classmethod
    def from_trial(cls, plan: Plan, trial: Trial) -> "Outcome":
        """The outcome of a trial that has ended."""
        drawn = dict(trial.hyperparameters.values)
        completed = trial.status == TrialStatus.COMPLETED
        parent = drawn.get(PARENT)
        return cls(
            number=int(trial.trial_id),
            drawn=drawn,
            values=plan.space.values(drawn),
            epochs=drawn.get(EPOCHS, plan.base.training.epochs),
            parent=None if parent is None else int(parent),
            score=float(trial.score) if completed else None,
            reason="" if completed else failure(plan.run(trial.trial_id)) or "no reason is known",
        )
