"""The process that the sample's sessions are sampled from.

The number of preferences K of a session is uniform over `sizes`, and so is the
choice of its K groups. Each click is noise with probability `noise`: any of the
items. Otherwise the session leaves the group of its latest click that was not noise
with probability `switch`, for one of its other groups uniformly, and else stays; its
first group is uniform. A group's first click is sampled from its `starts`; each
later one moves from the group's own latest item along its cycle, j positions with
probability `steps[j - 1]`, whatever other groups were clicked in between.

Items belong to several groups with a different successor in each, so the next
item depends on the clicks before the latest one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import checked, setting

SIZES = (2, 3)
FIRST_ITEM_ID = 214_500_001
LARGEST_ID_STEP = 9


@dataclasses.dataclass(frozen=True)
class ProcessSettings:
    """The settings of a process."""

    items: int = setting(500, "number of items", minimum=4, maximum=100_000)
    groups: int = setting(12, "number of preference groups", minimum=3, maximum=10_000)
    group_items: int = setting(90, "items in each group", minimum=4)
    follow: float = setting(
        0.95, "probability that a group moves to the next item of its cycle", above=0, maximum=1
    )
    noise: float = setting(0.05, "probability that a click is noise", minimum=0, below=1)
    switch: float = setting(
        0.7, "probability that a click leaves the group before it", minimum=0, maximum=1
    )
    seed: int = setting(1, "seed of the process and of the log", minimum=0)

    def __post_init__(self) -> None:
        checked(self)
        if self.group_items > self.items:
            raise UsageError(
                f"`group_items` is {self.group_items}, expected at most the number of items, "
                f"{self.items}"
            )
        if self.groups * self.group_items < 2 * self.items:
            raise UsageError(
                f"--groups {self.groups} of --group_items {self.group_items} are "
                f"{self.groups * self.group_items} memberships, expected at least {2 * self.items} "
                f"so that each of the {self.items} items belongs to two groups"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """A process with planted preference groups; items and groups count from 0.

    Attributes:
      item_ids: Item id of each item [items].
      cycles: Items of each group in the order of its cycle [groups, positions].
      starts: Probability that a group starts at a position [groups, positions].
      steps: Probability of moving 1, 2, ... positions along the cycle [steps].
      noise_items: Distribution of noise clicks [items].
      noise: Probability that a click is noise.
      switch: Probability of leaving the latest group for another.
      sizes: The numbers of groups that a session may have, equally likely.
    """

    item_ids: np.ndarray
    cycles: np.ndarray
    starts: np.ndarray
    steps: np.ndarray
    noise_items: np.ndarray
    noise: float
    switch: float
    sizes: tuple[int, ...]

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.cycles)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, from which `from_dict` builds an equal process."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "Process":
        """Build a process from plain values.

        Args:
          values: What `to_dict` returned.
          source: Where the values come from, for the error.

        Raises:
          HlnError: The values do not define a process.
        """
        try:
            process = cls(
                item_ids=np.asarray(values["item_ids"], np.int64),
                cycles=np.asarray(values["cycles"], np.int64),
                starts=np.asarray(values["starts"], np.float64),
                steps=np.asarray(values["steps"], np.float64),
                noise_items=np.asarray(values["noise_items"], np.float64),
                noise=float(values["noise"]),
                switch=float(values["switch"]),
                sizes=tuple(int(size) for size in values["sizes"]),
            )
            if process.starts.shape != process.cycles.shape or process.cycles.ndim != 2:
                raise ValueError("cycles and starts differ in shape")
            if process.noise_items.shape != process.item_ids.shape:
                raise ValueError("item_ids and noise_items differ in length")
            if not 0 <= process.cycles.min() <= process.cycles.max() < process.items:
                raise ValueError("a cycle names an item that does not exist")
        except (KeyError, TypeError, ValueError) as error:
            raise HlnError(
                f"{source} does not define a process ({error}): "
                "write it again with python -m beam_preprocess.sample generate"
            ) from None
        return process


def draw_process(settings: ProcessSettings) -> Process:
    """Sample a process: the items of each group, their order, and where groups start."""
    rng = np.random.default_rng([settings.seed, 0])
    id_steps = rng.integers(1, LARGEST_ID_STEP + 1, settings.items)
    rest = 1 - settings.follow
    return Process(
        item_ids=FIRST_ITEM_ID + np.cumsum(id_steps) - id_steps[0],
        cycles=draw_cycles(settings, rng),
        starts=draw_starts(settings, rng),
        steps=np.array([settings.follow, rest * 2 / 3, rest / 3]),
        noise_items=np.full(settings.items, 1 / settings.items),
        noise=settings.noise,
        switch=settings.switch,
        sizes=SIZES,
    )


def draw_cycles(settings: ProcessSettings, rng: np.random.Generator) -> np.ndarray:
    """Sample the groups in random order; items differ by at most one in their groups."""
    memberships = np.zeros(settings.items, np.int64)
    cycles = np.empty((settings.groups, settings.group_items), np.int64)
    for cycle in cycles:
        shuffled = rng.permutation(settings.items)
        rarest = np.argsort(memberships[shuffled], kind="stable")[: settings.group_items]
        cycle[:] = rng.permutation(shuffled[rarest])
        memberships[cycle] += 1
    return cycles


def draw_starts(settings: ProcessSettings, rng: np.random.Generator) -> np.ndarray:
    """Sample start distributions: a group's items in random order, weighted 1 / sqrt(rank)."""
    ranks = np.tile(np.arange(1, settings.group_items + 1), (settings.groups, 1))
    weights = 1 / np.sqrt(rng.permuted(ranks, axis=1))
    return weights / weights.sum(axis=1, keepdims=True)
