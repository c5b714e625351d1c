"""What a session gets, from Python and from a server alike. Imports no TensorFlow."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Answer(NamedTuple):
    """What a session gets.

    Attributes:
      items: Pairs of raw id and score, highest first.
      is_fallback: Whether these are the most popular items in place of the model's.
    """

    items: list[tuple[str, float]]
    is_fallback: bool


class Explanation(NamedTuple):
    """How a model with preference groups reads a session.

    Attributes:
      clicks: Raw ids of the T clicks that the model uses.
      retention: Probability that a group keeps a click, float32 [L, T].
      groups: For each of the L groups, pairs of raw id and score of the items
        nearest to what it keeps, nearest first; empty where it keeps nothing.
      is_fallback: Whether no group keeps anything, so that the session gets the
        most popular items.
    """

    clicks: list[str]
    retention: npt.NDArray[np.float32]
    groups: list[list[tuple[str, float]]]
    is_fallback: bool


def scored_items(ids: Iterable[str], scores: Iterable[float]) -> list[tuple[str, float]]:
    """Pairs of raw id and score, without the places where there is no item and the id is empty."""
    return [(item, float(score)) for item, score in zip(ids, scores, strict=True) if item]
