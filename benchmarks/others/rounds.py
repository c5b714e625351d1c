"""The examples that all implementations are measured on. Imports no TensorFlow, no PyTorch."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hln_tf.common.settings import checked, setting
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions


@dataclasses.dataclass(frozen=True)
class AlternativesSettings:
    """Amount and shape of the training that is measured."""

    batch_size: int = setting(64, "examples in a batch, of all", minimum=1, maximum=1_000_000)
    prefixes: int = setting(6_400, "train prefixes in a round", minimum=1, maximum=10**9)
    rounds: int = setting(5, "rounds; each trains every implementation once", minimum=1)
    threads: int = setting(2, "threads of every implementation", minimum=1, maximum=1024)
    dim: int = setting(100, "size of item embeddings, and of the other models' GRUs", minimum=1)
    hidden_dim: int = setting(200, "size of HLN's preferences", minimum=1)
    num_groups: int = setting(3, "HLN's preference groups", minimum=1)
    num_negatives: int = setting(2_048, "negatives where the softmax is sampled", minimum=1)
    max_length: int = setting(19, "last clicks of a prefix that are used", minimum=1)
    seed: int = setting(1, "fixes weights and batches", minimum=0, maximum=2**32 - 1)
    cpu_time: bool = setting(
        False, "measure processor time of all threads, for a machine that does other work too"
    )

    def __post_init__(self) -> None:
        checked(self)


class UnavailableError(Exception):
    """An implementation cannot be measured; the message says why, in one line."""


class Round(NamedTuple):
    """A round of training of an implementation.

    Attributes:
      examples: Targets, or positive clicks, that it learns from.
      run: Trains on all of them once.
    """

    examples: int
    run: Callable[[], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """The prefixes of a round.

    Attributes:
      sessions: The train part.
      prefixes: Some of its prefixes.
      num_items: Size of the catalogue.
      settings: See `AlternativesSettings`.
    """

    sessions: Sessions
    prefixes: Prefixes
    num_items: int
    settings: AlternativesSettings

    @classmethod
    def choose(cls, train: Sessions, num_items: int, settings: AlternativesSettings) -> "Work":
        """Choose prefixes of a train part at random."""
        every = Prefixes.from_sessions(train, settings.max_length)
        count = min(settings.prefixes, len(every))
        random = np.random.default_rng(settings.seed)
        chosen = np.sort(random.choice(len(every), count, replace=False))
        prefixes = Prefixes(every.items, every.targets[chosen], every.lengths[chosen])
        return cls(train, prefixes, num_items, settings)

    def whole_sessions(self) -> Sessions:
        """Return train sessions of about as many targets as there are prefixes, the last ones."""
        targets = (self.sessions.lengths - 1)[::-1].cumsum()
        count = int(np.searchsorted(targets, len(self.prefixes))) + 1
        return self.sessions.latest(min(count, len(self.sessions)))

    def shuffled_batches(self) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
        """Yield batches as a shuffling loader makes them, each padded to its longest prefix.

        Yields:
          Items [batch, time], left-aligned and padded with 0, targets [batch] and lengths
          [batch], all int64.
        """
        order = np.random.default_rng(self.settings.seed).permutation(len(self.prefixes))
        for batch in self.prefixes.batches(order, self.settings.batch_size):
            items = batch["items"].astype(np.int64)
            yield items, batch["target"].astype(np.int64), (items > 0).sum(axis=1)
