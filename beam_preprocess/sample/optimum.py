"""The exact predictive distribution of the sample, the best possible score of a model.

The clicks of a session do not determine which click belongs to which group, how
many groups there are and which clicks are noise. A hypothesis is the part of one
such assignment on which the next clicks depend: the number of groups K, the
position that each group seen so far has reached, and the latest group. Groups that
were not clicked yet are marginalised: each is equally likely to be next. The
forward algorithm computes the probability of each hypothesis after each click and
adds up those of equal hypotheses, which is exact.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from beam_preprocess.sample.process import Process

# (K, ((group, position), ...) in order of group, the latest group or -1).
Hypothesis = tuple[int, tuple[tuple[int, int], ...], int]

PRUNE = 1e-12


class Optimum:
    """Exact scorer of every item as the next click of a session.

    Args:
      process: The process that the sessions were sampled from.
      prune: After each click, hypotheses of less than this share of the total
        probability are dropped; one click thus loses at most `prune` times the
        number of hypotheses dropped, some thousands at the most. 0 drops none.
    """

    def __init__(self, process: Process, prune: float = PRUNE) -> None:
        self.process = process
        self.prune = prune
        self._steps = process.steps.tolist()
        self._starts = process.starts.tolist()
        self._noise_items = (process.noise * process.noise_items).tolist()
        self._flat_cycles = process.cycles.ravel()
        members: list[list[tuple[int, int]]] = [[] for _ in range(process.items)]
        for group, cycle in enumerate(process.cycles.tolist()):
            for position, item in enumerate(cycle):
                members[item].append((group, position))
        self._members = [dict(positions) for positions in members]

    def prior(self) -> dict[Hypothesis, float]:
        """Return the probabilities of the hypotheses before the first click."""
        sizes = self.process.sizes
        return {(size, (), -1): 1 / len(sizes) for size in sizes}

    def choice(self, hypothesis: Hypothesis) -> tuple[float, float]:
        """Compute the probabilities that a click which is not noise is of one certain group.

        Returns:
          The probability of the latest group, and of each other group of the
          session, seen or not.
        """
        size, _, latest = hypothesis
        if latest < 0:
            return 0.0, 1 / size
        return 1 - self.process.switch, self.process.switch / (size - 1)

    def start_choice(self, hypothesis: Hypothesis, other: float) -> float:
        """Compute the probability that a click which is not noise starts one certain unseen group.

        Args:
          hypothesis: The hypothesis.
          other: Probability of each group of the session that is not the latest.
        """
        size, seen, _ = hypothesis
        unseen = size - len(seen)
        return other * unseen / (self.process.groups - len(seen)) if unseen else 0.0

    def advance(self, weights: dict[Hypothesis, float], item: int) -> dict[Hypothesis, float]:
        """Update the hypotheses by one more click; their probabilities sum to 1."""
        members = self._members[item]
        cycle_length = self.process.cycles.shape[1]
        signal = 1 - self.process.noise
        after: defaultdict[Hypothesis, float] = defaultdict(float)
        for hypothesis, weight in weights.items():
            size, seen, latest = hypothesis
            if self._noise_items[item]:
                after[hypothesis] += weight * self._noise_items[item]
            again, other = self.choice(hypothesis)
            known = dict(seen)
            for group, position in members.items():
                if group in known:
                    step = (position - known[group] - 1) % cycle_length
                    if step >= len(self._steps):
                        continue
                    chosen = again if group == latest else other
                    emitted = self._steps[step]
                elif len(seen) < size:
                    chosen = self.start_choice(hypothesis, other)
                    emitted = self._starts[group][position]
                else:
                    continue
                reached = tuple(sorted({**known, group: position}.items()))
                after[size, reached, group] += weight * signal * chosen * emitted
        total = sum(after.values())
        if not total > 0:
            # There is no noise and no group explains the click: it is not informative.
            return weights
        least = self.prune * total
        return {key: weight / total for key, weight in after.items() if weight > least}

    def scores(self, weights: dict[Hypothesis, float]) -> np.ndarray:
        """Compute the probability of each item to be clicked next [items]."""
        process = self.process
        moves = np.zeros(process.cycles.shape)
        starts = np.zeros(process.groups)
        unseen = 0.0
        for hypothesis, weight in weights.items():
            _, seen, latest = hypothesis
            again, other = self.choice(hypothesis)
            start = weight * self.start_choice(hypothesis, other)
            unseen += start
            for group, position in seen:
                moves[group, position] += weight * (again if group == latest else other)
                starts[group] -= start
        starts = np.maximum(starts + unseen, 0)
        clicked = starts[:, None] * process.starts
        for step, probability in enumerate(process.steps, start=1):
            clicked += probability * np.roll(moves, step, axis=1)
        items = np.bincount(self._flat_cycles, clicked.ravel(), minlength=process.items)
        total = sum(weights.values())
        return process.noise * process.noise_items + (1 - process.noise) * items / total

    def score_prefixes(self, session: Sequence[int]) -> np.ndarray:
        """Compute the scores after each click of a session but the last [clicks - 1, items].

        Args:
          session: Its items, from 0. Row i follows from the first i + 1 of them.
        """
        weights = self.prior()
        rows = np.empty((max(len(session) - 1, 0), self.process.items))
        for row, item in zip(rows, session, strict=False):
            weights = self.advance(weights, item)
            row[:] = self.scores(weights)
        return rows
