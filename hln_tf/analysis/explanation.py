"""How a model with preference groups reads a session. Imports no TensorFlow."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


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
