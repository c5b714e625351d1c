"""Explanations of sessions by a model with preference groups. Imports no TensorFlow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_NEAREST_SHOWN = 5


class Explanation(NamedTuple):
    """The preference groups of one session.

    `print` shows them as a table, `hln_tf.analysis.draw_session(explanation, title)`
    as a picture; `python -m hln_tf.visualize session --workdir RUN --session "a b"`
    writes the picture of a run.

    Attributes:
      clicks: Item ids of the T clicks that the model uses: without unknown items, and
        of a long session the last ones.
      retention: Retention of each click in each group, float32 [L, T], from 0 to 1:
        the probability 1 - p that the group does not leap over the click; with
        exclusive groups 0 where an earlier group retains it.
      groups: For each of the L groups, pairs of item id and score of the items
        nearest to its query embedding, nearest first; empty if the group retains
        no click.
      is_fallback: Whether no group retains any click, so that the session gets
        the most popular items.
      positions: Positions of the T clicks in the session, from 0.

    Example:
    >>> explanation = Explanation(
    ...     ["a", "b"], np.array([[0.9, 0.2]]), [[("c", 1.5), ("a", 0.5)]], False, [0, 2]
    ... )
    >>> explanation.retained.tolist()
    [[True, False]]
    >>> print(explanation)
    position  click  group 1
           0  a       0.90 *
           2  b       0.20
    * retained by the group
    nearest to group 1: c, a
    """

    clicks: list[str]
    retention: npt.NDArray[np.float32]
    groups: list[list[tuple[str, float]]]
    is_fallback: bool
    positions: list[int]

    @property
    def retained(self) -> npt.NDArray[np.bool_]:
        """The clicks that each group retains, bool [L, T]: those of a retention of at least 1/2.

        The model's hard gate decides so at inference.
        """
        return np.asarray(self.retention) >= 0.5

    def __str__(self) -> str:
        width = max([5, *map(len, self.clicks)])
        names = [f"group {group}" for group in range(1, len(self.groups) + 1)]
        lines = ["  ".join(["position", f"{'click':{width}}", *names])]
        for at, (position, click) in enumerate(zip(self.positions, self.clicks, strict=True)):
            cells = [
                f"{retention:.2f} {'*' if retained else ' '}".rjust(len(name))
                for name, retention, retained in zip(
                    names, self.retention[:, at], self.retained[:, at], strict=True
                )
            ]
            lines.append("  ".join([f"{position:8}", f"{click:{width}}", *cells]))
        lines.append("* retained by the group")
        for name, nearest in zip(names, self.groups, strict=True):
            shown = ", ".join(item for item, _ in nearest[:_NEAREST_SHOWN])
            lines.append(f"nearest to {name}: {shown or 'none, it retains no click'}")
        if self.is_fallback:
            lines.append("no group retains a click: the session gets the most popular items")
        return "\n".join(line.rstrip() for line in lines)


def used_positions(session: Sequence[str], clicks: Sequence[str]) -> list[int]:
    """Find the positions in a session of the clicks that a model uses.

    These are the last known ones: items that are not among them are unknown, or come
    before all of them.

    Args:
      session: Item ids, oldest first.
      clicks: Those that the model uses, in the same order.
    """
    known = set(clicks)
    found = [position for position, item in enumerate(session) if item in known]
    return found[len(found) - len(clicks) :]
