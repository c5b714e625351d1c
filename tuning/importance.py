"""How much of the trials' order each hyperparameter explains by itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from hln_tf.common.settings import Range
from tuning.space import Hyperparameter

PERMUTATIONS = 2000
QUANTILE = 0.95


@dataclasses.dataclass(frozen=True)
class Importance:
    """What a hyperparameter explains.

    Attributes:
      name: The hyperparameter.
      share: Share of the variance of the trials' ranks that it explains, from 0 to 1.
      chance: The share that the same values reach in no more than one case in
        20 where the ranks are dealt out at random.
    """

    name: str
    share: float
    chance: float


def measure(
    hyperparameters: Sequence[Hyperparameter],
    values: Sequence[dict[str, Any]],
    scores: Sequence[float],
    epochs: Sequence[int],
) -> list[Importance]:
    """Measures each hyperparameter by itself, the most important first.

    A numeric one by the parabola of its value (of its logarithm where it is
    drawn so), another one by the mean of each value. Ranks keep a trial that
    diverged from deciding; trials are ranked among those of as many epochs.
    What two hyperparameters do together only is not seen.

    Args:
      hyperparameters: What was searched.
      values: The values of each trial by name.
      scores: The score of each trial.
      epochs: The epochs of each trial.
    """
    ranks = np.zeros([1 + PERMUTATIONS, len(scores)])
    random = np.random.default_rng(0)
    for group in np.unique(epochs):
        members = np.flatnonzero(np.asarray(epochs) == group)
        rank = rankdata(np.asarray(scores)[members])
        rank = (rank - rank.mean()) / len(rank)
        ranks[0, members] = rank
        dealt = np.tile(rank, [PERMUTATIONS, 1])
        ranks[1:, members] = random.permuted(dealt, axis=1)
    variance = max(float(ranks[0] @ ranks[0]), 1e-12)
    told = []
    for each in hyperparameters:
        basis = _basis(each, [trial[each.name] for trial in values])
        shares = np.square(ranks @ basis).sum(1) / variance
        told.append(
            Importance(each.name, float(shares[0]), float(np.quantile(shares[1:], QUANTILE)))
        )
    return sorted(told, key=lambda importance: -importance.share)


def _basis(hyperparameter: Hyperparameter, values: Sequence[Any]) -> np.ndarray:
    """An orthonormal basis of what functions of the value can tell, [trials, functions]."""
    if isinstance(hyperparameter.search, Range):
        x = np.asarray(values, float)
        x = np.log(x) if hyperparameter.search.log else x
        x = (x - x.mean()) / (x.std() or 1.0)
        columns = np.stack([x, np.square(x)], 1)
    else:
        columns = np.asarray([[value == other for other in set(values)] for value in values], float)
    columns = columns - columns.mean(0)
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-8]
