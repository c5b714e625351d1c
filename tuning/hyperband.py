"""Hyperband (Li et al., JMLR 18, 2018, Algorithm 1), asynchronously."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from tuning.oracle import IDLE, RUNNING, STOPPED, SearchOracle
from tuning.plan import EPOCHS, PARENT, Plan

INITIAL_EPOCH, ITERATION = "tuner/initial_epoch", "tuner/iteration"
BRACKET, ROUND = "tuner/bracket", "tuner/round"


@dataclasses.dataclass(frozen=True)
class Bracket:
    """A bracket of successive halving.

    Attributes:
      iteration: Iteration of the algorithm, from 0.
      number: s of the paper: its rounds are 0 to s.
      sizes: Number of trials in each round.
      epochs: Their epochs, those of earlier rounds included.
    """

    iteration: int
    number: int
    sizes: tuple[int, ...]
    epochs: tuple[int, ...]

    def contains(self, trial: Trial, number: int) -> bool:
        """Check whether a trial is one of a round."""
        values = trial.hyperparameters.values
        place = (self.iteration, self.number, number)
        return (values[ITERATION], values[BRACKET], values[ROUND]) == place

    def marks(self, number: int) -> dict[str, Any]:
        """Return the entries that a round adds to the hyperparameters of its trials."""
        return {
            EPOCHS: self.epochs[number],
            INITIAL_EPOCH: self.epochs[number - 1] if number else 0,
            ITERATION: self.iteration,
            BRACKET: self.number,
            ROUND: number,
        }


def brackets(max_epochs: int, factor: int, iterations: int) -> list[Bracket]:
    """Return the brackets of a search in their order, the one with most rounds first.

    Args:
      max_epochs: R of the paper, the epochs of the longest trials.
      factor: eta of the paper.
      iterations: Repetitions of the whole algorithm.

    Example:
    >>> [(each.sizes, each.epochs) for each in brackets(9, 3, 1)]
    [((9, 3, 1), (1, 3, 9)), ((5, 1), (3, 9)), ((3,), (9,))]
    """
    largest = 0
    while factor ** (largest + 1) <= max_epochs:
        largest += 1
    found = []
    for iteration in range(iterations):
        for s in range(largest, -1, -1):
            first = -(-(largest + 1) * factor**s // (s + 1))
            sizes = tuple(first // factor**i for i in range(s + 1))
            epochs = tuple(max(1, max_epochs // factor ** (s - i)) for i in range(s + 1))
            found.append(Bracket(iteration, s, sizes, epochs))
    return found


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
                [trial for trial in self.trials.values() if bracket.contains(trial, number)]
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
