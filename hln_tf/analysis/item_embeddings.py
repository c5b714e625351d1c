"""The vectors of the most popular items, for pictures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hln_tf.common.errors import HlnError
from hln_tf.models.base import SessionEncoder, SessionScorer


class ItemEmbeddings(NamedTuple):
    """Items, most popular first.

    Attributes:
      ids: Their raw ids.
      clicks: int64 [items], clicks on each in training.
      vectors: float32 [items, d].
    """

    ids: list[str]
    clicks: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


def most_popular(model: SessionScorer, vocabulary: Sequence[str], count: int) -> ItemEmbeddings:
    """The vectors of the `count` most popular items, or of all where there are fewer.

    Raises:
      HlnError: The model has no item vectors.
    """
    if not isinstance(model, SessionEncoder):
        raise HlnError(
            f"{type(model).__name__} has no item vectors: use a model that has, such as HLN"
        )
    clicks = model.item_counts.numpy()
    chosen = np.argsort(-clicks, kind="stable")[:count]
    vectors = np.asarray(model.candidates())[chosen]
    return ItemEmbeddings([vocabulary[row] for row in chosen], clicks[chosen], vectors)


def principal_components(
    vectors: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float64], list[float]]:
    """Projects vectors to the two directions along which they vary most.

    Args:
      vectors: [items, d].

    Returns:
      float64 [items, 2], and the share of the variance along each of the two.
      Each component's largest entry, by magnitude, is positive; where d is 1
      the second coordinate is 0.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :2]
    chosen = chosen * np.sign(np.take_along_axis(chosen, np.abs(chosen).argmax(0)[None], 0))
    points = np.zeros([len(vectors), 2])
    points[:, : chosen.shape[1]] = centred @ chosen
    shares = variances[::-1][:2] / max(variances.sum(), np.finfo(float).tiny)
    return points, [float(share) for share in np.resize([*shares, 0.0], 2)]
