"""Prefix augmentation and batching, as functions of (seed, epoch, step).

A session of n clicks gives n - 1 samples: every prefix predicts the click that
follows it. Prefixes are never stored: a sample is the position of its target
among the flat clicks. What a batch holds depends on the seed, the epoch and
the step alone, so a run can be taken up at any step.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hln_tf.data.sessions import Sessions

# Batches of like length waste no work on padding. Sorting whole epochs by
# length would order the training; sorting within pools of this many random
# batches keeps the padding near nil and the order random.
BATCHES_PER_POOL = 64


@dataclasses.dataclass(frozen=True)
class Prefixes:
    """All samples of some sessions.

    Attributes:
      items: int32 [clicks], item numbers from 1.
      targets: int64 [samples], position in `items` of each sample's target.
      lengths: int32 [samples], clicks in each prefix, at most the maximum length;
        a prefix is the clicks just before its target.
    """

    items: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    @classmethod
    def from_sessions(cls, sessions: Sessions, max_length: int) -> "Prefixes":
        """Expands sessions; a longer prefix keeps its last `max_length` clicks."""
        first = np.zeros(len(sessions.items), bool)
        first[sessions.offsets[:-1]] = True
        targets = np.flatnonzero(~first)
        starts = np.repeat(sessions.offsets[:-1], sessions.lengths - 1)
        lengths = np.minimum(targets - starts, max_length).astype(np.int32)
        return cls(sessions.items, targets, lengths)

    def __len__(self) -> int:
        return len(self.targets)

    def steps(self, batch_size: int) -> int:
        """Number of batches in one pass."""
        return math.ceil(len(self) / batch_size)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """The order of samples in one epoch of training.

        Args:
          batch_size: Samples in a batch.
          seed: The run's seed.
          epoch: Number of the epoch.

        Returns:
          int64 [samples]; batch `step` is the slice from `step * batch_size`.
          Samples of like length share a batch; the smaller remainder is last.
        """
        random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        order = random.permutation(len(self))
        pool = np.arange(len(self)) // (batch_size * BATCHES_PER_POOL)
        order = order[np.lexsort((self.lengths[order], pool))]
        full = len(self) // batch_size
        batches = order[: full * batch_size].reshape(full, batch_size)
        return np.concatenate([random.permutation(batches).ravel(), order[full * batch_size :]])

    def by_length(self) -> npt.NDArray[np.int64]:
        """The order of samples for evaluation: shortest prefixes first."""
        return np.argsort(self.lengths, kind="stable")

    def batches(
        self, order: npt.NDArray[np.int64], batch_size: int, first_step: int = 0
    ) -> Iterator[dict[str, npt.NDArray[np.int32]]]:
        """Batches in a given order.

        Made where they are used: on two cores threads of a `tf.data` pipeline take
        more from the products under way than a batch costs to make.

        Args:
          order: int64 [chosen], samples as from `shuffled` or `by_length`.
          batch_size: Samples in a batch; the last one may have fewer.
          first_step: Step of the epoch to begin with.

        Yields:
          `{"items": int32 [batch, time], "target": int32 [batch]}`; prefixes start
          at the left and are padded with 0 to the batch's longest.
        """
        for start in range(first_step * batch_size, len(order), batch_size):
            chosen = order[start : start + batch_size]
            target, length = self.targets[chosen], self.lengths[chosen, None]
            time = np.arange(length.max(), dtype=np.int32)
            # Past the end of a prefix stand clicks up to the target's; they are blanked.
            clicks = self.items[np.minimum(target[:, None] - length + time, target[:, None])]
            yield {"items": np.where(time < length, clicks, 0), "target": self.items[target]}
