"""Two softmaxes, over the items of a session and over all others, mixed by a gate.

As in RepeatNet (Ren et al., AAAI 2019), a session's next item is one of its own with
the probability g, and else another. With g and the attention a_t to the clicks, both
of `RepeatHead`, and the scores s of all items,

    P(i) = g sum_{t: item_t = i} a_t                      of an item i in the session,
    P(i) = (1 - g) exp(s_i) / sum_{j not in it} exp(s_j)  of any other.

The second softmax leaves out the session's items, so that the two share no item and
the probabilities sum to 1; RepeatNet's has them, with a weight of 0 in its mask.
"""

from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.catalogue_scores import CatalogueStatistics, rank_targets
from hln_tf.layers.checked_call import CheckedCall, check_floats, check_shape, sizes_of
from hln_tf.layers.choices import SCORE_MEGABYTES
from hln_tf.layers.clicks import clicks_after

# Clicks from the end of a session with an embedding of their own for their place; the
# earlier ones share the last of these.
PLACES = 20
# The fewest sessions that are scored at a time: one product with fewer is hardly quicker.
_LEAST_SESSIONS = 16


class Repeats(NamedTuple):
    """The probabilities of the items of sessions, and of all other items together.

    Attributes:
      items: int32 [batch, time], item indices from 1, padded with 0.
      log_clicks: float [batch, time], log(g a_t), the lowest float at padding; an
        item's probability is the sum over its clicks.
      log_others: float [batch], log(1 - g), the log-probability that the next item is
        none of the session's.
    """

    items: tf.Tensor
    log_clicks: tf.Tensor
    log_others: tf.Tensor

    def log_probability(self, items: tf.Tensor) -> tf.Tensor:
        """Compute the log-probability of items that are in their sessions.

        Args:
          items: int [batch, n], item indices from 1.

        Returns:
          float [batch, n]; about the lowest float for an item that is not in it.
        """
        is_click = items[:, :, None] == tf.cast(self.items, items.dtype)[:, None, :]
        lowest = self.log_clicks.dtype.min
        return tf.reduce_logsumexp(tf.where(is_click, self.log_clicks[:, None], lowest), axis=2)

    def is_first(self) -> tf.Tensor:
        """Mark the first click on each item of a session, bool [batch, time]."""
        same = self.items[:, :, None] == self.items[:, None, :]
        earlier = tf.linalg.band_part(tf.cast(same, tf.int32), -1, 0)  # click itself included
        return (tf.reduce_sum(earlier, axis=2) == 1) & (self.items > 0)


@keras.utils.register_keras_serializable("hln_tf")
class RepeatHead(CheckedCall, keras.layers.Layer):
    """The gate g and the attention a to the clicks of a session, see `Repeats`.

    With q the session's query, x_t the clicks' item embeddings, and P_t an embedding
    of the number of clicks after a click,

        e_t = tanh(W_x x_t + W_q q + P_t),  a = softmax(v^T e),
        g = sigmoid(w^T [sum_t a_t e_t; q] + b)

    without padding. g is 0 for a session without a click and 1 for one with all
    items of the catalogue.

    Args:
      num_items: Size of the catalogue.
      **kwargs: Of a Keras layer.

    Call arguments:
      x: float [batch, time, d], item embeddings.
      query: float [batch, d], vectors of the sessions.
      items: int32 [batch, time], padded with 0.

    Returns:
      The `Repeats`.

    Raises:
      TypeError: `x` holds no floats, or an argument or the caller is Keras 3's.
      ValueError: An argument has another shape.

    Example:
    >>> repeats = RepeatHead(num_items=9)(
    ...     tf.zeros([1, 2, 4]), query=tf.zeros([1, 4]), items=tf.constant([[3, 3]])
    ... )
    >>> of_clicks, of_others = tf.exp(repeats.log_clicks), tf.exp(repeats.log_others)
    >>> (tf.reduce_sum(of_clicks, axis=1) + of_others).numpy().round(3)
    array([1.], dtype=float32)
    """

    def __init__(self, num_items: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_items = num_items

    def check_call(self, x: Any, query: Any = None, items: Any = None, **others: Any) -> None:
        """Check the arguments of `call`."""
        check_floats("x", x)
        check_shape("x", x, ("batch", "time", "d"))
        batch, time, d = sizes_of(x, "batch", "time", "d")
        check_shape("query", query, (batch, d))
        check_shape("items", items, (batch, time))

    def build(self, input_shape: tf.TensorShape) -> None:
        """Add the weights of e, v, and those of the gate."""
        d = input_shape[-1]
        self.W_x = self.add_weight(name="W_x", shape=(d, d))
        self.W_q = self.add_weight(name="W_q", shape=(d, d))
        start = keras.initializers.RandomUniform(-(d**-0.5), d**-0.5)
        self.P = self.add_weight(name="P", shape=(PLACES, d), initializer=start)
        self.v = self.add_weight(name="v", shape=(d, 1))
        self.w = self.add_weight(name="w", shape=(2 * d, 1))
        self.b = self.add_weight(name="b", shape=(), initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor, query: tf.Tensor, items: tf.Tensor) -> Repeats:
        """Compute gate and attention; see the class."""
        places = tf.gather(self.P, tf.minimum(clicks_after(items), PLACES - 1))
        of_query = tf.matmul(query, self.W_q, transpose_b=True)[:, None, :]
        e = tf.tanh(tf.tensordot(x, tf.transpose(self.W_x), 1) + of_query + places)
        is_click = items > 0
        log_a = tf.tensordot(e, self.v, 1)[..., 0]
        log_a = tf.nn.log_softmax(tf.where(is_click, log_a, log_a.dtype.min))
        a = tf.where(is_click, tf.exp(log_a), 0)
        attended = tf.reduce_sum(a[..., None] * e, axis=1)
        logit = tf.matmul(tf.concat([attended, query], axis=1), self.w)[:, 0] + self.b
        never = log_a.dtype.min
        log_g, log_others = tf.math.log_sigmoid(logit), tf.math.log_sigmoid(-logit)
        log_others = tf.where(tf.reduce_any(is_click, axis=1), log_others, 0)
        distinct = tf.math.count_nonzero(Repeats(items, log_a, log_others).is_first(), axis=1)
        has_others = distinct < self.num_items
        log_g = tf.where(has_others, log_g, 0)
        log_others = tf.where(has_others, log_others, never)
        return Repeats(items, tf.where(is_click, log_g[:, None] + log_a, never), log_others)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer with other weights."""
        return {**super().get_config(), "num_items": self.num_items}


class OwnItems(NamedTuple):
    """The places of the items of sessions in the scores of all items.

    Attributes:
      rows: int32 [batch, time], rows of the item table. Padding has an item of the same
        session, or row 0 in a session without a click.
      any: bool [batch, 1], whether the session has a click.
    """

    rows: tf.Tensor
    any: tf.Tensor

    @classmethod
    def of(cls, items: tf.Tensor) -> "OwnItems":
        """Find the places of items, int32 [batch, time], padded with 0."""
        one = tf.reduce_max(items, axis=1, keepdims=True)
        return cls(tf.maximum(tf.where(items > 0, items, one) - 1, 0), one > 0)

    def replaced(self, scores: tf.Tensor, values: Any) -> tf.Tensor:
        """Replace the scores [batch, items] of the sessions' items by values, [batch, time]."""
        values = tf.where(self.any, values, tf.gather(scores, self.rows, batch_dims=1))
        sessions = tf.broadcast_to(tf.range(tf.shape(scores)[0])[:, None], tf.shape(self.rows))
        return tf.tensor_scatter_nd_update(scores, tf.stack([sessions, self.rows], 2), values)


def log_probabilities(scores: tf.Tensor, repeats: Repeats) -> tf.Tensor:
    """Mix the softmax of scores with the probabilities of the sessions' items.

    Args:
      scores: float [batch, items].
      repeats: Those of the same sessions.

    Returns:
      The log-probabilities, float [batch, items].
    """
    own = OwnItems.of(repeats.items)
    others = tf.nn.log_softmax(own.replaced(scores, scores.dtype.min))
    of_own = repeats.log_probability(own.rows + 1)
    return own.replaced(others + repeats.log_others[:, None], of_own)


def mixture_statistics(
    query: tf.Tensor,
    candidates: tf.Tensor,
    target: tf.Tensor,
    repeats: Repeats,
    megabytes: int = SCORE_MEGABYTES,
) -> CatalogueStatistics:
    """Compute the statistics of `log_probabilities`, of a part of the sessions at a time.

    Args:
      query: float [batch, d].
      candidates: float [items, d], the whole catalogue.
      target: int [batch], row of each example's target in the catalogue.
      repeats: Those of the same sessions.
      megabytes: Memory for scores at a time, in 10^6 bytes; more where 16 sessions
        have more.

    Returns:
      The statistics, whose scores are log-probabilities.
    """
    candidates = tf.convert_to_tensor(candidates)
    batch = tf.shape(query)[0]
    at_once = tf.maximum(megabytes * 250_000 // tf.shape(candidates)[0], _LEAST_SESSIONS)
    at_once = tf.maximum(tf.minimum(at_once, batch), 1)
    parts = tf.maximum(-(-batch // at_once), 1)

    def split(tensor: tf.Tensor) -> tf.Tensor:
        missing = [[0, parts * at_once - batch], *[[0, 0]] * (tensor.shape.rank - 1)]
        shape = tf.concat([[parts, at_once], tf.shape(tensor)[1:]], axis=0)
        return tf.reshape(tf.pad(tensor, missing), shape)

    def of_part(part: Any) -> tuple[tf.Tensor, ...]:
        query, target, *of_repeats = part
        scores = tf.matmul(query, candidates, transpose_b=True)
        mixed = log_probabilities(scores, Repeats(*of_repeats))
        return *rank_targets(mixed, target), tf.reduce_mean(mixed, axis=1)

    of_floats = tf.TensorSpec([None], query.dtype)
    found = tf.map_fn(
        of_part,
        tuple(map(split, (query, tf.cast(target, tf.int32), *repeats))),
        fn_output_signature=(tf.TensorSpec([None], tf.int32), of_floats, of_floats),
        parallel_iterations=1,  # more would hold the scores of several parts
    )
    ranks, of_target, mean = (tf.reshape(each, [-1])[:batch] for each in found)
    return CatalogueStatistics(ranks, of_target, tf.zeros_like(of_target), mean)
