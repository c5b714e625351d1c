"""Agreement of a model's preference groups with groups that are known.

A click's group is the one that retains it most. The true groups are those of a
generated log, or, of real clicks, the sessions of which two were interleaved.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hln_tf.data.sessions import Sessions

Groups = list[npt.NDArray[np.int64]]

# The group of clicks that belong to none.
NO_GROUP = -1


def strongest_groups(model: Any, sessions: Sequence[npt.NDArray[np.int32]]) -> Groups:
    """Find the group with the highest retention of each click.

    Args:
      model: A model with preference groups.
      sessions: Item indices, int32 [clicks] for each session.

    Returns:
      int64 [clicks] for each session.
    """
    from hln_tf.analysis.retention import compiled_retention, retention_of_clicks

    flat = Sessions.from_lists(sessions)
    of_clicks = retention_of_clicks(
        compiled_retention(model), flat, int(flat.lengths.max(initial=1))
    )
    return np.split(of_clicks.argmax(axis=0), flat.offsets[1:])[:-1]


def interleave_pairs(
    sessions: Sequence[npt.NDArray[np.int32]], rng: np.random.Generator
) -> tuple[list[npt.NDArray[np.int32]], Groups]:
    """Interleave the first session with the second, the third with the fourth and so on.

    Every order of a pair's clicks that preserves the order of each session is
    equally likely.

    Args:
      sessions: Item indices, int32 [clicks] for each session.
      rng: Source of the orders.

    Returns:
      The interleaved sessions, and the session of each click, 0 or 1.
    """
    interleaved, truth = [], []
    for one, other in zip(sessions[::2], sessions[1::2], strict=False):
        groups = rng.permutation(np.repeat([0, 1], [len(one), len(other)]))
        items = np.empty(len(groups), np.int32)
        items[groups == 0], items[groups == 1] = one, other
        interleaved.append(items)
        truth.append(groups)
    return interleaved, truth


def halves(sessions: Sequence[npt.NDArray[np.int32]]) -> Groups:
    """Divide each session in two halves by position, the first one the larger."""
    return [np.repeat([0, 1], [-(-len(s) // 2), len(s) // 2]) for s in sessions]


def clusters(
    sessions: Sequence[npt.NDArray[np.int32]],
    item_embeddings: npt.NDArray[np.floating],
    rng: np.random.Generator,
) -> Groups:
    """Divide each session's clicks in two by 2-means of their item embeddings.

    Args:
      sessions: Item indices from 1, int32 [clicks] for each session.
      item_embeddings: float [items, d].
      rng: Source of the first centres.
    """
    from sklearn.cluster import KMeans

    means = KMeans(2, n_init=4, random_state=int(rng.integers(2**31)))
    return [
        means.fit_predict(item_embeddings[session - 1]).astype(np.int64)
        if len(np.unique(session)) > 1
        else np.zeros(len(session), np.int64)
        for session in sessions
    ]


def shuffled(groups: Groups, rng: np.random.Generator) -> Groups:
    """Shuffle each session's groups among its clicks."""
    return [rng.permutation(of_session) for of_session in groups]


def mean_index(truth: Groups, found: Groups) -> float:
    """Average the adjusted Rand index over sessions with clicks of two or more true groups.

    It is 1 where two groupings are equal and 0 by chance (Hubert and Arabie,
    "Comparing partitions", Journal of Classification 2, 1985).

    Clicks of `NO_GROUP` in the truth are left out. Sessions whose other clicks are
    all of one group are as well: their index says nothing.
    """
    from sklearn.metrics import adjusted_rand_score

    indices = []
    for of_session, guess in zip(truth, found, strict=True):
        has_group = of_session != NO_GROUP
        if len(set(of_session[has_group])) > 1:
            indices.append(adjusted_rand_score(of_session[has_group], guess[has_group]))
    return float(np.mean(indices)) if indices else float("nan")
