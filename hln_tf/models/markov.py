"""A Markov chain over items: what followed the last clicks, and what sessions return to."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.layers.clicks import LatestClicks, clicks_after, distance_weights
from hln_tf.models.counter_settings import MarkovSettings
from hln_tf.models.pair_counter import PairCounter, weigh_followers

# The distances that have a rate of their own of returning to an item; farther ones share the last.
FARTHEST = 20


@keras.utils.register_keras_serializable("hln_tf")
class Markov(PairCounter):
    """A Markov chain: scores an item by how likely it follows the session's last clicks.

    By default it is of first order: an item's score is the share of the clicks
    after the last item that were on it. With `window` w, the w clicks after an item
    count, and with `last_clicks` m, the shares of the session's last m clicks are
    averaged; both are weighted by distance. With `repeat_prior` r, an item that the
    session clicked last d clicks ago has in addition r times the share of the
    clicks of the log that returned to such an item.

    The shares are counts over counts: nothing is trained.

    Attributes:
      return_rates: float32 [distances + 1], the shares of the clicks that returned to
        the item that was clicked last so many clicks ago, from 1.
    """

    Settings = MarkovSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.return_rates = tf.Variable(
            tf.zeros([FARTHEST + 1]), trainable=False, name="return_rates"
        )

    def rules(self, sessions: Sessions) -> scipy.sparse.csr_array:
        """Compute transition probabilities; see `PairCounter`."""
        settings = self.settings
        followers = weigh_followers(sessions, self.num_items, settings.window, settings.weighting)
        totals = followers.sum(axis=1)
        return (scipy.sparse.diags_array(1 / np.where(totals > 0, totals, 1)) @ followers).tocsr()

    def click_weights(self, items: tf.Tensor) -> tf.Tensor:
        """Weigh the last clicks by their distance, 1 in all; see `PairCounter`."""
        distance = clicks_after(items) + 1
        is_counted = (items > 0) & (distance <= self.settings.last_clicks)
        weights = tf.where(is_counted, distance_weights(self.settings.weighting, distance), 0)
        totals = tf.reduce_sum(weights, axis=1, keepdims=True)
        return tf.cast(tf.math.divide_no_nan(weights, totals), tf.float32)

    def fit_counts(self, sessions: Any) -> Sessions:
        """Count clicks, transitions and returns; see `SessionScorer`."""
        sessions = super().fit_counts(sessions)
        self.return_rates.assign(_return_rates(sessions))
        return sessions

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """See `SessionScorer`."""
        scores = self.rule_scores(items)
        if self.settings.repeat_prior:
            clicks = LatestClicks.from_items(items)
            rates = tf.gather(self.return_rates, tf.minimum(clicks.later + 1, FARTHEST))
            columns = tf.cast(clicks.items, tf.int64) - 1
            scores = tf.tensor_scatter_nd_add(
                scores,
                tf.stack([clicks.sessions, columns], axis=1),
                self.settings.repeat_prior * rates,
            )
        return self.with_fallback(scores)


def _return_rates(sessions: Sessions) -> npt.NDArray[np.float32]:
    """Compute how likely a click returns to an item, by the distance to the latest click on it.

    Of the latest clicks on an item that have a click at a distance, the share whose
    item is clicked there.
    """
    order, is_return = sessions.by_item()
    # Of each click: to the next one on its item, or else to the session's last.
    ends = np.repeat(sessions.offsets[1:], sessions.lengths)
    distance = ends - 1 - np.arange(len(order))
    distance[order[:-1][is_return]] = np.diff(order)[is_return]
    returned = np.zeros(len(distance), bool)
    returned[order[:-1][is_return]] = True
    width = max(FARTHEST, int(distance.max(initial=0))) + 1
    returns = np.bincount(distance[returned], minlength=width)
    chances = np.cumsum(np.bincount(distance, minlength=width)[::-1])[::-1]
    # Those of the farthest distances are counted together.
    returns[FARTHEST], chances[FARTHEST] = returns[FARTHEST:].sum(), chances[FARTHEST:].sum()
    returns, chances = returns[: FARTHEST + 1], chances[: FARTHEST + 1]
    return (returns / np.maximum(chances, 1)).astype(np.float32)
