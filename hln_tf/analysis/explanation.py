"""Explanations of sessions by a model with preference groups. Imports no TensorFlow."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Explanation(NamedTuple):
    """The preference groups of one session.

    Attributes:
      clicks: Item ids of the T clicks that the model uses.
      retention: Retention of each click in each group, float32 [L, T].
      groups: For each of the L groups, pairs of item id and score of the items
        nearest to its query embedding, nearest first; empty if the group retains
        no click.
      is_fallback: Whether no group retains any click, so that the session gets
        the most popular items.
    """

    clicks: list[str]
    retention: npt.NDArray[np.float32]
    groups: list[list[tuple[str, float]]]
    is_fallback: bool
