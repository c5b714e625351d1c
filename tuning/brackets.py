"""The brackets of Hyperband (Li et al., JMLR 18, 2018, Algorithm 1). Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tuning.plan import EPOCHS

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

    @property
    def cost(self) -> int:
        """Epochs that its trials train, promoted ones from the epochs of their parents."""
        parents = (0, *self.epochs[:-1])
        return sum(
            size * (epochs - before)
            for size, epochs, before in zip(self.sizes, self.epochs, parents, strict=True)
        )

    def contains(self, values: Mapping[str, Any], number: int) -> bool:
        """Check whether hyperparameters are those of a trial of a round."""
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
