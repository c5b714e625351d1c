"""What a session gets, from Python and from a server alike. Imports no TensorFlow."""

from collections.abc import Iterable
from typing import NamedTuple


class Recommendations(NamedTuple):
    """What a session gets.

    Attributes:
      items: Pairs of raw id and score, highest first.
      is_fallback: Whether these are the most popular items in place of the model's.
    """

    items: list[tuple[str, float]]
    is_fallback: bool


def scored_items(ids: Iterable[str], scores: Iterable[float]) -> list[tuple[str, float]]:
    """Pairs of raw id and score, without the places where there is no item and the id is empty."""
    return [(item, float(score)) for item, score in zip(ids, scores, strict=True) if item]
