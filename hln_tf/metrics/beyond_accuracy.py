"""Properties of lists of recommendations, apart from whether they have the target."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MEASURES = ("coverage", "gini", "entropy", "popularity", "novelty", "repeats")


class BeyondAccuracy:
    """Coverage, concentration, popularity, novelty and repeats of the first k recommendations.

    Batches are added one by one; the memory is that of a count for each item and cut-off.
    With c_i the number of lists that item i is in and n items:

    - coverage@k: the share of items with c_i > 0 (Ge et al., RecSys 2010).
    - gini@k: the Gini index of c_1, ..., c_n, 0 if all items are recommended equally often
      and 1 - 1/n if one item alone is (Fleder and Hosanagar, Management Science 55, 2009).
    - entropy@k: the Shannon entropy of c_i / sum(c) in bits.
    - popularity@k: the mean number of training clicks of a recommended item.
    - novelty@k: the mean of -log2 p of a recommended item, in bits, where its p is
      (clicks + 1) / (all clicks + n), so that an item without a click has one too (after
      Vargas and Castells, RecSys 2011).
    - repeats@k: the share of recommended items that the session has already.

    Args:
      item_counts: int [items], training clicks of each item.
      ks: The cut-offs; of one above the catalogue's size, all items count.

    Example:
    >>> metrics = BeyondAccuracy(np.array([3, 1]), ks=[1])
    >>> metrics.update(np.array([[1], [1]]), np.array([[1, 0], [2, 2]]))
    >>> metrics.results()["coverage@1"], metrics.results()["repeats@1"]
    (0.5, 0.5)
    """

    def __init__(self, item_counts: npt.NDArray[np.integer], ks: Sequence[int]) -> None:
        clicks = np.asarray(item_counts, np.float64)
        self._clicks = clicks
        self._novelty = -np.log2((clicks + 1) / (clicks.sum() + len(clicks)))
        self.ks = tuple(ks)
        self._counts = {k: np.zeros(len(clicks), np.int64) for k in self.ks}
        self._repeats = dict.fromkeys(self.ks, 0)

    @property
    def longest(self) -> int:
        """The length of the lists to add, or more."""
        return min(max(self.ks), len(self._clicks))

    def update(
        self,
        recommended: npt.NDArray[np.integer],
        sessions: npt.NDArray[np.integer],
        times: npt.NDArray[np.integer] | None = None,
    ) -> None:
        """Add the lists of a batch.

        Args:
          recommended: int [batch, k], item indices from 1, the best first, with k at
            least `longest`.
          sessions: int [batch, time], the clicks of each session, padded with 0.
          times: int [batch], how many times each list counts; None for once.
        """
        if times is None:
            times = np.ones(len(recommended), np.int64)
        is_repeat = (recommended[:, :, None] == sessions[:, None, :]).any(axis=2)
        for k in self.ks:
            first = recommended[:, :k]
            np.add.at(self._counts[k], first - 1, times[:, None])
            self._repeats[k] += int(times @ np.count_nonzero(is_repeat[:, :k], axis=1))

    def results(self) -> dict[str, float]:
        """Return the metrics by name, such as `coverage@20`; NaN before the first batch."""
        by_cut_off = {k: self._of_counts(k) for k in self.ks}
        return {
            f"{measure}@{k}": by_cut_off[k][measure] if by_cut_off[k] else float("nan")
            for measure in MEASURES
            for k in self.ks
        }

    def _of_counts(self, k: int) -> dict[str, float]:
        counts = self._counts[k]
        total = int(counts.sum())
        if not total:
            return {}
        share = counts[counts > 0] / total
        number = np.arange(1, len(counts) + 1)
        gini = 2 * float(number @ np.sort(counts)) / (len(counts) * total)
        return {
            "coverage": len(share) / len(counts),
            "gini": gini - (len(counts) + 1) / len(counts),
            "entropy": float(-(share @ np.log2(share))),
            "popularity": float(counts @ self._clicks) / total,
            "novelty": float(counts @ self._novelty) / total,
            "repeats": self._repeats[k] / total,
        }
