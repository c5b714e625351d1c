"""Hyperband, asynchronously."""

from collections.abc import Callable
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.brackets import brackets
from tuning.oracle import IDLE, RUNNING, STOPPED, SearchOracle
from tuning.plan import PARENT, Plan


class HyperbandOracle(SearchOracle):
    """Hyperband: many trials of few epochs, of which the best are promoted to more epochs.

    A trial is promoted as soon as it is certain to be among the best of its round. The
    trials themselves say in which round they are, so more iterations extend a search
    that has ended. It replaces KerasTuner's, whose brackets are private.
    """

    def __init__(self, plan: Plan, on_end: Callable[[Trial], None] = lambda trial: None) -> None:
        super().__init__(plan, on_end)
        settings = plan.settings
        assert settings.max_epochs is not None
        self.brackets = brackets(settings.max_epochs, settings.factor, settings.iterations)
        self.max_trials = sum(sum(each.sizes) for each in self.brackets)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the next trial of the first bracket that can start one; see `SearchOracle`."""
        for bracket in self.brackets:
            members = [
                [
                    trial
                    for trial in self.trials.values()
                    if bracket.contains(trial.hyperparameters.values, number)
                ]
                for number in range(len(bracket.sizes))
            ]
            is_full = len(members[0]) >= bracket.sizes[0]
            if not is_full:
                values = self.new_values(trial_id)
                if values is not None:
                    return {"status": RUNNING, "values": {**values, **bracket.marks(0)}}
            # Of a search space that is exhausted, the round is what there is.
            size = bracket.sizes[0] if is_full else len(members[0])
            for number in range(1, len(bracket.sizes)):
                size, promoted = self._promotion(members, number, size, bracket.sizes[number])
                if promoted is not None:
                    values = {
                        **promoted.hyperparameters.values,
                        **bracket.marks(number),
                        PARENT: promoted.trial_id,
                    }
                    return {"status": RUNNING, "values": values}
        return {"status": IDLE if self.ongoing_trials else STOPPED}

    def _promotion(
        self, members: list[list[Trial]], number: int, size: int, planned: int
    ) -> tuple[int, Trial | None]:
        """Return the number of trials of a round, and the next to promote to it, or None.

        Args:
          members: The trials of each round.
          number: The round.
          size: Number of trials of the round before.
          planned: Number of trials of this round if enough of those have a score.
        """
        ended = [trial for trial in members[number - 1] if trial.trial_id in self.end_order]
        completed = [trial for trial in ended if trial.status == TrialStatus.COMPLETED]
        completed.sort(key=lambda trial: (-trial.score, trial.trial_id))
        outstanding = size - len(ended)
        parents = {trial.hyperparameters.values[PARENT] for trial in members[number]}
        certain = completed[: max(0, planned - outstanding)]
        left = [trial for trial in certain if trial.trial_id not in parents]
        if not outstanding:
            planned = min(planned, len(completed))
        return planned, left[0] if left else None
