"""Prefix augmentation and batching, as functions of (seed, epoch, step).

A session of n clicks gives n - 1 examples: every prefix predicts the click that
follows it. Prefixes are never stored: an example is the position of its target
in the flat array of clicks. The content of a batch depends on the seed, the
epoch and the step alone, so that a run can be resumed at any step.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hln_tf.data.sessions import Sessions

# Batches of prefixes of similar length waste no work on padding. Sorting a whole
# epoch by length would make the order of training depend on length; sorting
# within pools of this many random batches avoids nearly all padding in a random
# order.
BATCHES_PER_POOL = 64


def noise_seed(seed: int, epoch: int) -> np.int32:
    """Return the first half of the seed of an epoch's noise; the second is the step."""
    return np.random.SeedSequence([seed, epoch]).generate_state(1).view(np.int32)[0]


@dataclasses.dataclass(frozen=True)
class Prefixes:
    """All examples of some sessions.

    Attributes:
      items: int32 [clicks], item indices.
      targets: int64 [examples], position in `items` of each example's target.
      lengths: int32 [examples], clicks in each prefix, at most the maximum length;
        a prefix is the clicks just before its target.
    """

    items: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    @classmethod
    def from_sessions(cls, sessions: Sessions, max_length: int) -> "Prefixes":
        """Expand sessions; a longer prefix is truncated to its last `max_length` clicks."""
        first = np.zeros(len(sessions.items), bool)
        first[sessions.offsets[:-1]] = True
        targets = np.flatnonzero(~first)
        starts = np.repeat(sessions.offsets[:-1], sessions.lengths - 1)
        lengths = np.minimum(targets - starts, max_length).astype(np.int32)
        return cls(sessions.items, targets, lengths)

    def __len__(self) -> int:
        return len(self.targets)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one pass."""
        return math.ceil(len(self) / batch_size)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """Shuffle the examples for one epoch of training.

        Args:
          batch_size: Examples in a batch.
          seed: The run's seed.
          epoch: Number of the epoch.

        Returns:
          int64 [examples], their order; batch `step` is the slice from
          `step * batch_size`. Examples of similar length are in the same batch;
          the smaller remainder is last.
        """
        random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        order = random.permutation(len(self))
        pool = np.arange(len(self)) // (batch_size * BATCHES_PER_POOL)
        order = order[np.lexsort((self.lengths[order], pool))]
        full = len(self) // batch_size
        batches = order[: full * batch_size].reshape(full, batch_size)
        return np.concatenate([random.permutation(batches).ravel(), order[full * batch_size :]])

    def by_length(self) -> npt.NDArray[np.int64]:
        """Order the examples for evaluation: shortest prefixes first."""
        return np.argsort(self.lengths, kind="stable")

    def length_batches(
        self, chosen: npt.NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int32]]]]:
        """Make batches of examples, shortest prefixes first.

        Args:
          chosen: int64 [chosen], examples.
          batch_size: Examples in a batch; the last one may have fewer.

        Yields:
          The examples of a batch, int64 [batch], and the batch, see `batches`.
        """
        order = chosen[np.argsort(self.lengths[chosen], kind="stable")]
        for step, batch in enumerate(self.batches(order, batch_size)):
            yield order[step * batch_size : (step + 1) * batch_size], batch

    def distinct(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Find the examples that differ in clicks or target.

        Returns:
          The first of each set of equal examples, int64 [distinct], and the place in it
          of each example's equal, int64 [examples].
        """
        first = np.empty(len(self), np.int64)
        for length in np.unique(self.lengths):
            chosen = np.flatnonzero(self.lengths == length)
            clicks = self.items[self.targets[chosen, None] + np.arange(-length, 1)]
            rows = np.ascontiguousarray(clicks).view(f"V{clicks.itemsize * clicks.shape[1]}")
            _, found, equal = np.unique(rows, return_index=True, return_inverse=True)
            first[chosen] = chosen[found][equal.ravel()]
        return np.unique(first, return_inverse=True)

    def in_runs(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Find the examples whose prefixes are best encoded together.

        Prefixes that begin at the same click are those of one run of clicks. A truncated
        prefix is in a run by itself.

        Args:
          chosen: int64 [chosen], examples.

        Returns:
          bool [chosen], true where half of the run's prefixes or more are chosen.
        """
        _, run, count = self._runs(chosen)
        longest = np.zeros(len(count), np.int64)
        np.maximum.at(longest, run, self.lengths[chosen])
        return (2 * count >= longest)[run]

    def run_batches(
        self, chosen: npt.NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int32]]]]:
        """Make batches of runs, from the longest to the shortest.

        Args:
          chosen: int64 [chosen], examples; see `in_runs`.
          batch_size: Clicks in a batch with its padding, unless one run has more.

        Yields:
          The examples of a batch, int64, and the batch: `items` int32 [runs, time], the
          clicks of each run, left-aligned and padded with 0, and `target` int32
          [runs, time], the target of the prefix that ends there, 0 where it is not
          chosen; in order of rows and columns the examples are those of the targets.
        """
        starts, run, _ = self._runs(chosen)
        longest = np.zeros(len(starts), np.int64)
        np.maximum.at(longest, run, self.lengths[chosen])
        by_length = np.argsort(-longest, kind="stable")
        place = np.argsort(by_length)[run]  # of each example's run
        order = np.lexsort((self.lengths[chosen], place))
        chosen, place = chosen[order], place[order]
        first = 0
        while first < len(starts):
            runs = by_length[first : first + max(1, batch_size // longest[by_length[first]])]
            examples = slice(*np.searchsorted(place, [first, first + len(runs)]))
            length, time = longest[runs, None], np.arange(longest[runs[0]])
            clicks = self.items[starts[runs, None] + np.minimum(time, length)]
            target = np.zeros_like(clicks)
            column = self.lengths[chosen[examples]] - 1
            target[place[examples] - first, column] = self.items[self.targets[chosen[examples]]]
            yield chosen[examples], {"items": np.where(time < length, clicks, 0), "target": target}
            first += len(runs)

    def _runs(self, chosen: npt.NDArray[np.int64]) -> Any:
        """Find where runs of chosen examples start, each one's run, and the runs' examples."""
        starts = self.targets[chosen] - self.lengths[chosen]
        return np.unique(starts, return_inverse=True, return_counts=True)

    def batches(
        self, order: npt.NDArray[np.int64], batch_size: int, first_step: int = 0
    ) -> Iterator[dict[str, npt.NDArray[np.int32]]]:
        """Make batches in a given order.

        On two cores the threads of a `tf.data` pipeline would slow down the matrix products
        by more than making a batch costs.

        Args:
          order: int64 [chosen], examples as from `shuffled` or `by_length`.
          batch_size: Examples in a batch; the last one may have fewer.
          first_step: First step of the epoch.

        Yields:
          `{"items": int32 [batch, time], "target": int32 [batch]}`; prefixes are
          left-aligned and padded with 0 to the batch's longest.
        """
        for start in range(first_step * batch_size, len(order), batch_size):
            chosen = order[start : start + batch_size]
            target, length = self.targets[chosen], self.lengths[chosen, None]
            time = np.arange(length.max(), dtype=np.int32)
            # Positions past the end of a prefix, which read later clicks, are replaced by 0.
            clicks = self.items[np.minimum(target[:, None] - length + time, target[:, None])]
            yield {"items": np.where(time < length, clicks, 0), "target": self.items[target]}
