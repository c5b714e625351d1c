"""The recommendations for a session, from Python or from a server. Imports no TensorFlow."""

from collections.abc import Iterable
from typing import NamedTuple


class Recommendations(NamedTuple):
    """The recommendations for one session.

    Attributes:
      items: Pairs of item id and score, highest first.
      is_fallback: Whether these are the most popular items instead of the model's.
    """

    items: list[tuple[str, float]]
    is_fallback: bool


def scored_items(ids: Iterable[str], scores: Iterable[float]) -> list[tuple[str, float]]:
    """Pair item ids with their scores, without entries that have no item: their id is empty."""
    return [(item, float(score)) for item, score in zip(ids, scores, strict=True) if item]
