"""Importance of each hyperparameter: the variance of the trials' ranks that it explains."""

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
    """Importance of one hyperparameter on its own.

    Attributes:
      name: The hyperparameter.
      explained_variance: Share of the variance of the trials' ranks that it
        explains, from 0 to 1.
      threshold: 95th percentile of this share under random permutations of the
        ranks.
    """

    name: str
    explained_variance: float
    threshold: float


def measure_importance(
    hyperparameters: Sequence[Hyperparameter],
    values: Sequence[dict[str, Any]],
    scores: Sequence[float],
    epochs: Sequence[int],
) -> list[Importance]:
    """Measure the importance of each hyperparameter on its own, the most important first.

    The ranks are fitted by a quadratic function of a numeric hyperparameter (of
    its logarithm if it is sampled on a logarithmic scale) and by the mean of each
    value of a categorical one. Ranks limit the influence of a trial that
    diverged; a trial is ranked among those with the same number of epochs. A
    hyperparameter that does not apply to every trial is measured among those to
    which it does. Joint effects of several hyperparameters are not measured.

    Args:
      hyperparameters: The search space.
      values: The values of each trial by name.
      scores: The score of each trial.
      epochs: The epochs of each trial.
    """
    importances = []
    for each in hyperparameters:
        members = [n for n, trial in enumerate(values) if each.name in trial]
        ranks = _ranks(*(np.asarray(of_all)[members] for of_all in (scores, epochs)))
        variance = max(float(ranks[0] @ ranks[0]), 1e-12)
        basis = _basis(each, [values[n][each.name] for n in members])
        shares = np.square(ranks @ basis).sum(1) / variance
        threshold = float(np.quantile(shares[1:], QUANTILE))
        importances.append(Importance(each.name, float(shares[0]), threshold))
    return sorted(importances, key=lambda importance: -importance.explained_variance)


def _ranks(scores: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Return the centred ranks of scores among those of the same epochs, then permutations."""
    ranks = np.zeros([1 + PERMUTATIONS, len(scores)])
    random = np.random.default_rng(0)
    for group in np.unique(epochs):
        members = np.flatnonzero(epochs == group)
        rank = rankdata(scores[members])
        rank = (rank - rank.mean()) / len(rank)
        ranks[0, members] = rank
        ranks[1:, members] = random.permuted(np.tile(rank, [PERMUTATIONS, 1]), axis=1)
    return ranks


def _basis(hyperparameter: Hyperparameter, values: Sequence[Any]) -> np.ndarray:
    """Return an orthonormal basis of the fitted functions of the value, [trials, functions]."""
    if not values:
        return np.zeros([0, 0])
    if isinstance(hyperparameter.domain, Range):
        x = np.asarray(values, float)
        if hyperparameter.domain.log:  # a default such as 0, for none, is below its range
            x = np.log(np.maximum(x, hyperparameter.domain.low / 2))
        x = (x - x.mean()) / (x.std() or 1.0)
        columns = np.stack([x, np.square(x)], 1)
    else:
        columns = np.asarray([[value == other for other in set(values)] for value in values], float)
    columns = columns - columns.mean(0)
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-8]
