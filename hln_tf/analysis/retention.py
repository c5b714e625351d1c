"""What preference groups keep of whole sessions: the numbers of the paper's Figure 3."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer

# Clicks of the sessions in Figure 3.
LENGTH = 6
SESSIONS_AT_A_TIME = 512


def compiled_retention(model: SessionScorer) -> Any:
    """How a model's preference groups keep clicks, as one graph for all lengths.

    Args:
      model: A model with preference groups.

    Returns:
      A `tf.function` of items, int32 [batch, time], padded with 0, to the
      probability that each group keeps each click, float32 [batch, L, time].

    Raises:
      HlnError: The model has no preference groups.
    """
    preferences = model.preferences
    if preferences is None:
        raise HlnError(
            f"{type(model).__name__} has no preference groups, so it keeps and leaps over nothing: "
            f"use a model that has, such as HLN"
        )
    signature = [tf.TensorSpec([None, None], tf.int32)]
    return tf.function(lambda items: preferences(items).retention, input_signature=signature)


def retention_of_clicks(
    retention: Any, sessions: Sessions, max_length: int
) -> npt.NDArray[np.float32]:
    """Probability with which each preference group keeps each click, 1 - p_{l,t}.

    Args:
      retention: Of the model, from `compiled_retention`.
      sessions: What it reads, each session as a whole.
      max_length: Last clicks of a session that are used.

    Returns:
      float32 [L, clicks], clicks in the order of `sessions.items`; NaN where
      the model does not read the click.
    """
    lengths = np.minimum(sessions.lengths, max_length)
    order = np.argsort(lengths, kind="stable")
    num_groups = retention.get_concrete_function().output_shapes[1]
    of_clicks = np.full([num_groups, len(sessions.items)], np.nan, np.float32)
    for start in range(0, len(order), SESSIONS_AT_A_TIME):
        chosen = order[start : start + SESSIONS_AT_A_TIME]
        time = np.arange(lengths[chosen].max())
        is_click = time < lengths[chosen, None]
        places = (sessions.offsets[chosen + 1] - lengths[chosen])[:, None] + time
        items = np.where(is_click, sessions.items[np.where(is_click, places, 0)], 0)
        kept = retention(tf.constant(items, tf.int32)).numpy()
        of_clicks[:, places[is_click]] = kept.transpose(1, 0, 2)[:, is_click]
    return of_clicks


def mean_by_position(
    retention: npt.NDArray[np.float32], sessions: Sessions, length: int
) -> npt.NDArray[np.float64]:
    """The retention rates of Figure 3: means over all sessions of one length.

    Args:
      retention: float32 [L, clicks], of `retention_of_clicks`.
      sessions: Those whose clicks these are, at least one of them of `length`.
      length: Clicks of the sessions over which the means go.

    Returns:
      float64 [L, length], for each group and position.
    """
    first = sessions.offsets[:-1][sessions.lengths == length]
    return retention[:, first[:, None] + np.arange(length)].mean(axis=1, dtype=np.float64)
