"""Prefix augmentation and batching, as functions of (seed, epoch, step).

A session of n clicks gives n - 1 examples: every prefix predicts the click that
follows it. Prefixes are never stored: an example is the position of its target
in the flat array of clicks. The content of a batch depends on the seed, the
epoch and the step alone, so that a run can be resumed at any step.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hln_tf.data.sessions import Sessions

# Batches of prefixes of similar length waste no work on padding. Sorting a whole
# epoch by length would make the order of training depend on length; sorting
# within pools of this many random batches avoids nearly all padding in a random
# order.
BATCHES_PER_POOL = 64


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

    def batches(
        self, order: npt.NDArray[np.int64], batch_size: int, first_step: int = 0
    ) -> Iterator[dict[str, npt.NDArray[np.int32]]]:
        """Make batches in a given order.

        They are made in the calling thread: on two cores the threads of a `tf.data`
        pipeline slow down the matrix products by more than making a batch costs.

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
