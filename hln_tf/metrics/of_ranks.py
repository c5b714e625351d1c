"""Accuracy from the targets' ranks, in NumPy: for any cut-offs, slices and comparisons.

Each example has one relevant item, the next click. So HitRate@k is Recall@k, MAP@k is
MRR@k, and Precision@k is Recall@k / k; the ideal of NDCG@k is 1.

Definitions, with the rank r of the target from 1 and 1(r <= k) for a hit:

- Recall@k: 1(r <= k)
- MRR@k: 1(r <= k) / r (Voorhees, TREC 1999)
- NDCG@k: 1(r <= k) / log2(1 + r) (Järvelin and Kekäläinen, ACM TOIS 20, 2002)
- Precision@k: 1(r <= k) / k
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.integer]

# The value of an example whose target is among the first k, from ranks and k.
_OF_HITS: Mapping[str, Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]]] = {
    "recall": lambda ranks, k: np.ones_like(ranks),
    "mrr": lambda ranks, k: 1 / ranks,
    "ndcg": lambda ranks, k: 1 / np.log2(1 + ranks),
    "precision": lambda ranks, k: np.full_like(ranks, 1 / k),
}
MEASURES = tuple(_OF_HITS)


def metric_names(ks: Iterable[int], measures: Iterable[str] = MEASURES) -> list[str]:
    """List the names of metrics, such as `recall@20`, measure by measure."""
    cut_offs = list(ks)
    return [f"{measure}@{k}" for measure in measures for k in cut_offs]


def values_of_ranks(name: str, ranks: Ranks) -> npt.NDArray[np.float64]:
    """Compute a metric of each example.

    Args:
      name: The metric, such as `mrr@20`.
      ranks: int [examples], the targets' ranks from 1; larger than the catalogue
        for a target that the model does not know.

    Returns:
      float64 [examples], whose mean is the metric as a fraction of 1.

    Raises:
      ValueError: There is no such metric.

    Example:
    >>> values_of_ranks("mrr@2", np.array([1, 2, 3])).tolist()
    [1.0, 0.5, 0.0]
    """
    measure, _, k = name.partition("@")
    if measure not in _OF_HITS or not k.isdecimal() or int(k) < 1:
        raise ValueError(
            f"there is no metric {name!r}: expected one of {', '.join(MEASURES)} with a cut-off, "
            f"such as mrr@20"
        )
    exact = np.asarray(ranks, np.float64)
    return np.where(exact <= int(k), _OF_HITS[measure](exact, int(k)), 0.0)


def means_of_ranks(
    ranks: Ranks, ks: Sequence[int], measures: Sequence[str] = MEASURES
) -> dict[str, float]:
    """Compute the means over examples, as fractions of 1.

    Args:
      ranks: int [examples], see `values_of_ranks`.
      ks: The cut-offs.
      measures: Some of `MEASURES`.

    Returns:
      The metrics by name; NaN where there is no example.
    """
    if not len(ranks):
        return dict.fromkeys(metric_names(ks, measures), float("nan"))
    names = metric_names(ks, measures)
    return {name: float(values_of_ranks(name, ranks).mean()) for name in names}
