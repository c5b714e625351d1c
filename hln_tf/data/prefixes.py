"""Prefix augmentation and batching, as functions of (seed, epoch, step).

A session of n clicks gives n - 1 samples: every prefix predicts the click that
follows it. Prefixes are never stored: a sample is the position of its target
among the flat clicks. What a batch holds depends on the seed, the epoch and
the step alone, so a run can be taken up at any step.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

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
    def of(cls, sessions: Sessions, max_length: int) -> "Prefixes":
        """Expands sessions; a longer prefix keeps its last `max_length` clicks."""
        first = np.zeros(len(sessions.items), bool)
        first[sessions.offsets[:-1]] = True
        targets = np.flatnonzero(~first)
        starts = np.repeat(sessions.offsets[:-1], np.diff(sessions.offsets) - 1)
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
    ) -> tf.data.Dataset:
        """Batches in a given order.

        Args:
          order: int64 [chosen], samples as from `shuffled` or `by_length`.
          batch_size: Samples in a batch; the last one may have fewer.
          first_step: Step of the epoch to begin with.

        Returns:
          A data set of `{"items": int32 [batch, time], "target": int32 [batch],
          "step": int32 []}`; prefixes start at the left and are padded with 0
          to the batch's longest.
        """
        items, targets = tf.constant(self.items), tf.constant(self.targets)
        lengths, samples = tf.constant(self.lengths), tf.constant(order)

        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            chosen = samples[step * batch_size : (step + 1) * batch_size]
            target, length = tf.gather(targets, chosen), tf.gather(lengths, chosen)
            time = tf.range(tf.reduce_max(length))
            past = target[:, None] - tf.cast(length[:, None] - time, tf.int64)
            inside = time < length[:, None]
            clicks = tf.gather(items, tf.where(inside, past, target[:, None]))
            return {
                "items": tf.where(inside, clicks, 0),
                "target": tf.gather(items, target),
                "step": tf.cast(step, tf.int32),
            }

        steps = tf.data.Dataset.range(first_step, math.ceil(len(order) / batch_size))
        return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)
