"""The cross-entropy of the two softmaxes that a repeat head mixes."""

from typing import Any

import tensorflow as tf

from hln_tf.layers.item_table import gather_with_shared_gradient
from hln_tf.layers.repeat_head import OwnItems, Repeats


def mixture_cross_entropy(
    query: tf.Tensor,
    candidates: tf.Tensor,
    target: tf.Tensor,
    repeats: Repeats,
    rounded: tf.DType,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Compute -log P(target) of a mixture, see `hln_tf.layers.repeat_head`.

    With label smoothing e it is -(1 - e) log P(target) - e mean_i log P(i), of which
    the items outside of the session have in sum

        n (log(1 - g) - log Z) + sum_i r_i - sum_{i in the session} r_i

    where n is their number, Z their partition function and r the scores.

    Args:
      query: float [batch, d].
      candidates: float [items, d].
      target: int [batch].
      repeats: The probabilities of the sessions' own items.
      rounded: Type of the factors of the softmax's products, and of its scores.
      label_smoothing: e, from 0 for none to below 1.

    Returns:
      The losses, [batch], in the type of the queries.
    """
    own = OwnItems.of(repeats.items)
    rows = tf.cast(target, tf.int32)[:, None]
    if label_smoothing:
        rows = tf.concat([rows, own.rows], axis=1)
    x, candidates = gather_with_shared_gradient(candidates, rows)
    r = tf.linalg.matvec(x, query)
    of_others = repeats.log_others - log_partition_of_others(query, candidates, own, rounded)
    item = rows[:, :1] + 1
    is_own = tf.reduce_any(item == repeats.items, axis=1)
    of_target = tf.where(is_own, repeats.log_probability(item)[:, 0], of_others + r[:, 0])
    if not label_smoothing:
        return -of_target
    is_first, items = repeats.is_first(), tf.cast(tf.shape(candidates)[0], query.dtype)
    of_clicks = repeats.log_probability(repeats.items) - r[:, 1:]
    of_own = tf.reduce_sum(tf.where(is_first, of_clicks, 0), axis=1)
    others = items - tf.reduce_sum(tf.cast(is_first, query.dtype), axis=1)
    mean = tf.linalg.matvec(query, tf.reduce_mean(candidates, axis=0))
    mean += (of_own + others * of_others) / items
    return -(1 - label_smoothing) * of_target - label_smoothing * mean


def log_partition_of_others(
    query: tf.Tensor, candidates: tf.Tensor, own: OwnItems, rounded: tf.DType
) -> tf.Tensor:
    """Compute the log-sum-exp of the scores of all items but the sessions' own.

    As in `cross_entropy`, the gradient by the scores is never formed.

    Args:
      query: float [batch, d].
      candidates: float [items, d].
      own: The places of the sessions' items.
      rounded: Type of the products' factors and of the scores.

    Returns:
      [batch], in the type of the queries.
    """

    @tf.custom_gradient
    def log_partition(query: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, Any]:
        X = tf.cast(candidates, rounded)
        scores = tf.matmul(tf.cast(query, rounded), X, transpose_b=True)
        # Not rounded: TensorFlow's scattering of bfloat16 runs on no GPU.
        scores = own.replaced(tf.cast(scores, query.dtype), query.dtype.min)
        y = tf.nn.softmax(scores)
        highest, of_highest = tf.reduce_max(scores, axis=1), tf.reduce_max(y, axis=1)
        y = tf.cast(y, rounded)

        def gradient(weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            expected = tf.cast(tf.matmul(y, X), query.dtype)
            weighted = tf.cast(weight[:, None] * query, rounded)
            d_candidates = tf.matmul(y, weighted, transpose_a=True)
            return weight[:, None] * expected, tf.cast(d_candidates, candidates.dtype)

        return highest - tf.math.log(of_highest), gradient

    return log_partition(query, tf.convert_to_tensor(candidates))
