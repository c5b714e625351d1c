"""The embeddings of the most popular items, for pictures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hln_tf.common.errors import HlnError
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder


class ItemEmbeddings(NamedTuple):
    """Items, most popular first.

    Attributes:
      ids: Their ids.
      clicks: int64 [items], clicks on each in training.
      embeddings: float32 [items, d].
    """

    ids: list[str]
    clicks: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float32]


def most_popular(model: SessionScorer, vocabulary: Sequence[str], count: int) -> ItemEmbeddings:
    """Return the embeddings of the `count` most popular items, or of all if there are fewer.

    Raises:
      HlnError: The model has no item embeddings.
    """
    if not isinstance(model, SessionEncoder):
        raise HlnError(
            f"{type(model).__name__} has no item embeddings: use a model that has, such as HLN"
        )
    clicks = model.item_counts.numpy()
    chosen = np.argsort(-clicks, kind="stable")[:count]
    embeddings = np.asarray(model.item_embeddings())[chosen]
    return ItemEmbeddings([vocabulary[row] for row in chosen], clicks[chosen], embeddings)


def principal_components(
    embeddings: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float64], list[float]]:
    """Project embeddings to their first two principal components.

    Args:
      embeddings: [items, d].

    Returns:
      float64 [items, 2], and the fraction of the variance along each of the two.
      Each component's largest entry, by magnitude, is positive; if d is 1 the
      second coordinate is 0.
    """
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :2]
    chosen = chosen * np.sign(np.take_along_axis(chosen, np.abs(chosen).argmax(0)[None], 0))
    points = np.zeros([len(embeddings), 2])
    points[:, : chosen.shape[1]] = centred @ chosen
    fractions = variances[::-1][:2] / max(variances.sum(), np.finfo(float).tiny)
    return points, [float(fraction) for fraction in np.resize([*fractions, 0.0], 2)]
