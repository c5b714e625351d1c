"""Paired comparisons of models: bootstrap intervals and randomisation tests over sessions.

The examples of a session are not independent, so whole sessions are resampled: a metric is
the ratio of a sum over sessions and the number of their examples.

- Interval: the percentile bootstrap (Efron and Tibshirani, 1993) of sessions resampled
  with replacement, the same ones for both models. Of a model with several seeds, seeds are
  resampled too, so that the interval covers their spread.
- Test: the randomisation test (Smucker et al., CIKM 2007) of the hypothesis that the two
  models may be swapped in each session. Of several seeds it compares their mean.
- Several comparisons: Holm's correction of the p-values (Scandinavian J. Statistics 6, 1979).
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Numbers of a matrix of resamples in memory at a time.
_NUMBERS = 4_000_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric's difference between two models, as a fraction of 1.

    Attributes:
      value: The second model's mean minus the first one's.
      low: Lower end of its interval.
      high: Upper end of its interval.
      p_value: Of the randomisation test.
      adjusted: The same, corrected for all comparisons that were made by `corrected`.
    """

    value: float
    low: float
    high: float
    p_value: float
    adjusted: float

    @property
    def differs(self) -> bool:
        """True where the corrected test rejects that the models are alike, at the level 5 %."""
        return self.adjusted < 0.05


def sums_by_session(values: Array, session: npt.NDArray[np.int64]) -> Array:
    """Sum a metric's values over the examples of each session.

    Args:
      values: float64 [seeds, examples].
      session: int64 [examples], each example's session, numbered from 0 on.

    Returns:
      float64 [seeds, sessions].
    """
    return np.array([np.bincount(session, row) for row in values])


def compare_sums(
    pairs: Sequence[tuple[Array, Array]],
    examples: npt.NDArray[np.int64],
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> list[Difference]:
    """Compare models pair by pair.

    Args:
      pairs: The sums of a metric of the first and of the second model, float64
        [seeds, sessions]; each has its own number of seeds.
      examples: int64 [sessions], the number of examples of each session.
      resamples: Number of bootstrap resamples, and of random swaps.
      level: Probability of the intervals, such as 0.95.
      rng: Chooses them.

    Returns:
      One difference for each pair, not `corrected`.
    """
    means = np.array([[each.sum(axis=1).mean() for each in pair] for pair in pairs])
    values = (means[:, 1] - means[:, 0]) / examples.sum()
    low, high = _intervals(pairs, examples, resamples, level, rng)
    p_values = _p_values(pairs, resamples, rng)
    return [
        Difference(*map(float, each))
        for each in zip(values, low, high, p_values, p_values, strict=True)
    ]


def intervals_of_means(
    sums: Sequence[Array],
    examples: npt.NDArray[np.int64],
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Compute the bootstrap intervals of metrics of one model.

    Args:
      sums: The sums of each metric, float64 [seeds, sessions].
      examples: int64 [sessions], the number of examples of each session.
      resamples: Number of bootstrap resamples.
      level: Probability of the intervals.
      rng: Chooses them.

    Returns:
      The lower and the upper ends, float64 [metrics].
    """
    pairs = [(np.zeros((1, len(examples))), each) for each in sums]
    return _intervals(pairs, examples, resamples, level, rng)


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p-values of all comparisons that are made, by Holm's method."""
    p_values = np.array([each.p_value for each in differences])
    order = np.argsort(p_values, kind="stable")
    steps = (len(order) - np.arange(len(order))) * p_values[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [
        dataclasses.replace(each, adjusted=float(p))
        for each, p in zip(differences, adjusted, strict=True)
    ]


def _intervals(
    pairs: Sequence[tuple[Array, Array]],
    examples: npt.NDArray[np.int64],
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    sessions = len(examples)
    found = []
    for count in _chunks(resamples, sessions):
        times = np.array(
            [
                np.bincount(rng.integers(sessions, size=sessions), minlength=sessions)
                for _ in range(count)
            ],
            np.float64,
        )
        total = times @ examples
        found.append(
            [(_resampled(b, times, rng) - _resampled(a, times, rng)) / total for a, b in pairs]
        )
    differences = np.concatenate(found, axis=1)
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(differences, tails, axis=1)
    return low, high


def _resampled(sums: Array, times: Array, rng: np.random.Generator) -> Array:
    """Sum over resampled sessions, the mean over resampled seeds, float64 [resamples]."""
    seeds = len(sums)
    by_seed = times @ sums.T
    if seeds == 1:
        return by_seed[:, 0]
    chosen = rng.integers(seeds, size=(len(times), seeds))
    return np.take_along_axis(by_seed, chosen, axis=1).mean(axis=1)


def _p_values(
    pairs: Sequence[tuple[Array, Array]], resamples: int, rng: np.random.Generator
) -> Array:
    differences = np.array([b.mean(axis=0) - a.mean(axis=0) for a, b in pairs])
    found = np.abs(differences.sum(axis=1))
    # Sums of the same numbers in another order differ in the last bits.
    tolerance = 1e-9 * np.abs(differences).sum(axis=1)
    as_large = np.zeros(len(pairs))
    for count in _chunks(resamples, differences.shape[1]):
        swaps = 1.0 - 2.0 * rng.integers(2, size=(count, differences.shape[1]), dtype=np.int8)
        as_large += (np.abs(swaps @ differences.T) >= found - tolerance).sum(axis=0)
    return (1 + as_large) / (1 + resamples)


def _chunks(resamples: int, sessions: int) -> Iterator[int]:
    size = max(1, _NUMBERS // max(sessions, 1))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
