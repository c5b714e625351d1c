"""Retention of clicks in preference groups: the numbers of the paper's Figure 3."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer
from hln_tf.models.graphs import ITEMS, compiled

# Clicks of the sessions in Figure 3.
LENGTH = 6
BATCH_SIZE = 512


def compiled_retention(model: SessionScorer) -> Any:
    """Compile the retention of clicks in a model's preference groups, once for all lengths.

    Args:
      model: A model with preference groups.

    Returns:
      A `tf.function` of item indices, int32 [batch, time], padded with 0, to the
      retention of each click in each group, float32 [batch, L, time].

    Raises:
      HlnError: The model has no preference groups.
    """
    preferences = model.preferences
    if preferences is None:
        raise HlnError(
            f"{type(model).__name__} has no preference groups, so its clicks have no leap "
            f"probabilities: use a model that has, such as HLN"
        )
    return compiled(lambda items: preferences(items).retention, [ITEMS], model)


def retention_of_clicks(
    retention: Any, sessions: Sessions, max_length: int
) -> npt.NDArray[np.float32]:
    """Compute the retention 1 - p_{l,t} of each click in each preference group.

    Args:
      retention: The model's function from `compiled_retention`.
      sessions: The model's input, each session as a whole.
      max_length: Number of last clicks of a session that the model uses.

    Returns:
      float32 [L, clicks], clicks in the order of `sessions.items`; NaN for
      clicks that the model does not use.
    """
    lengths = np.minimum(sessions.lengths, max_length)
    order = np.argsort(lengths, kind="stable")
    num_groups = retention.get_concrete_function().output_shapes[1]
    of_clicks = np.full([num_groups, len(sessions.items)], np.nan, np.float32)
    for start in range(0, len(order), BATCH_SIZE):
        chosen = order[start : start + BATCH_SIZE]
        time = np.arange(lengths[chosen].max())
        is_click = time < lengths[chosen, None]
        positions = (sessions.offsets[chosen + 1] - lengths[chosen])[:, None] + time
        items = np.where(is_click, sessions.items[np.where(is_click, positions, 0)], 0)
        of_batch = retention(tf.constant(items, tf.int32)).numpy()
        of_clicks[:, positions[is_click]] = of_batch.transpose(1, 0, 2)[:, is_click]
    return of_clicks


def mean_by_position(
    retention: npt.NDArray[np.float32], sessions: Sessions, length: int
) -> npt.NDArray[np.float64]:
    """Compute the retention rates of Figure 3: means over all sessions of one length.

    Args:
      retention: float32 [L, clicks], from `retention_of_clicks`.
      sessions: The sessions of these clicks, at least one of them of `length`.
      length: Number of clicks of the sessions over which the means are computed.

    Returns:
      float64 [L, length], for each group and position.
    """
    first = sessions.offsets[:-1][sessions.lengths == length]
    return retention[:, first[:, None] + np.arange(length)].mean(axis=1, dtype=np.float64)
