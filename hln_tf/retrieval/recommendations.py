"""The recommendations for a session, from Python or from a server. Imports no TensorFlow."""

from collections.abc import Iterable
from typing import NamedTuple


class Recommendations(NamedTuple):
    """The recommendations for one session.

    Attributes:
      items: Pairs of item id and score, highest first. Ids are text, also where the
        clicks had numbers; scores are floats that order the items of one session
        and are no probabilities. A trained model's score is the dot product of query
        and item embedding, and a counting model's has a scale of its own.
      is_fallback: Whether these are the most popular items instead of the model's, as
        the session has no known item, or the model scores all items the same. The
        scores are then (items - rank) / items, on another scale than the model's.
    """

    items: list[tuple[str, float]]
    is_fallback: bool


def scored_items(ids: Iterable[str], scores: Iterable[float]) -> list[tuple[str, float]]:
    """Pair item ids with their scores, without entries that have no item: their id is empty."""
    return [(item, float(score)) for item, score in zip(ids, scores, strict=True) if item]
