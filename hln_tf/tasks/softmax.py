"""Losses over the whole catalogue: the softmax cross-entropy and eq. 8 as printed."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.catalogue_scores import CatalogueStatistics
from hln_tf.layers.choices import PRECISIONS
from hln_tf.layers.noise import Seed
from hln_tf.layers.repeat_head import Repeats
from hln_tf.tasks.loss import RetrievalLoss
from hln_tf.tasks.mixture import mixture_cross_entropy


@keras.utils.register_keras_serializable("hln_tf")
class FullSoftmax(RetrievalLoss):
    """The cross-entropy -log y_target of the softmax over every item (eq. 7).

    With label smoothing e (Szegedy et al., CVPR 2016, section 7) it is that of a
    target distribution with the mass 1 - e on the target and e / items on every item:

        (1 - e) (-log y_target) + e mean_i (-log y_i)
            = -log y_target + e (r_target - mean_i r_i)

    As scores r are linear in the items' embeddings, their mean is the score of the
    mean embedding.

    Of a model with a repeat head, y is its mixture of two softmaxes: `repeats`, another
    argument of the call, has the probabilities of the sessions' own items.

    Args:
      precision: `bfloat16` rounds the factors of the softmax's three products
        and the scores to it; sums, the item table and its gradient stay float32.
      label_smoothing: e, from 0 for none to below 1.
      **kwargs: Of a Keras layer.

    Raises:
      ValueError: `precision` or `label_smoothing` is not allowed.

    Example:
    >>> loss = FullSoftmax()
    >>> loss(tf.zeros([1, 2]), tf.zeros([4, 2]), tf.constant([3])).numpy().round(3)
    array([1.386], dtype=float32)
    """

    takes_repeats = True

    def __init__(
        self, precision: str = "float32", label_smoothing: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if precision not in PRECISIONS:
            raise ValueError(f"`precision` must be one of {PRECISIONS}, received {precision!r}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` must be from 0 to below 1, received {label_smoothing!r}"
            )
        self.precision = precision
        self.label_smoothing = float(label_smoothing)

    def call(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        seed: Seed | None = None,
        repeats: Repeats | None = None,
    ) -> tf.Tensor:
        """Compute the losses; see `RetrievalLoss`."""
        rounded = tf.bfloat16 if self.precision == "bfloat16" else query.dtype
        if repeats is not None:
            return mixture_cross_entropy(
                query, candidates, target, repeats, rounded, self.label_smoothing
            )
        return cross_entropy(query, candidates, target, rounded, self.label_smoothing)

    def evaluate(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        target: tf.Tensor,
        statistics: CatalogueStatistics,
    ) -> tf.Tensor:
        """Compute the losses from the partition function, without scores of its own."""
        losses = statistics.cross_entropy()
        if self.label_smoothing:
            mean_scores = statistics.mean_scores
            if mean_scores is None:
                mean_scores = tf.linalg.matvec(query, tf.reduce_mean(candidates, axis=0))
            losses += self.label_smoothing * (statistics.target_scores - mean_scores)
        return losses

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        own = {"precision": self.precision, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **own}


@keras.utils.register_keras_serializable("hln_tf")
class Equation8(RetrievalLoss):
    """Eq. 8 as printed: the binary cross-entropy over the softmax, summed over items.

    Args:
      **kwargs: Of a Keras layer.

    Example:
    >>> loss = Equation8()
    >>> loss(tf.zeros([1, 2]), tf.zeros([2, 2]), tf.constant([1])).numpy().round(3)
    array([1.386], dtype=float32)
    """

    def call(
        self, query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, seed: Seed | None = None
    ) -> tf.Tensor:
        """Compute the losses; see `RetrievalLoss`."""
        return equation_8(tf.matmul(query, candidates, transpose_b=True), target)


def cross_entropy(
    query: tf.Tensor,
    candidates: tf.Tensor,
    target: tf.Tensor,
    rounded: tf.DType,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Compute the softmax cross-entropy of the targets over the whole catalogue (eq. 7).

    The gradient by the scores, y - (1 - e) onehot(target) - e / items times the
    example's weight, is never formed: the weights scale the queries instead, and
    the target distribution is subtracted from the two small gradients. So nothing of
    the size of the scores is touched but by the three products and the softmax.

    Args:
      query: float [batch, d].
      candidates: float [items, d].
      target: int [batch].
      rounded: Type of the products' factors and of the scores.
      label_smoothing: e, see `FullSoftmax`.

    Returns:
      The losses, [batch], in the type of the queries.
    """

    @tf.custom_gradient
    def losses(query: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, Any]:
        X = tf.cast(candidates, rounded)
        scores = tf.matmul(tf.cast(query, rounded), X, transpose_b=True)
        y = tf.nn.softmax(scores)
        loss = -log_softmax_at(target, scores, y, query.dtype)
        x = tf.gather(candidates, target)
        if label_smoothing:
            smoothed = label_smoothing * (x - tf.reduce_mean(candidates, axis=0))
            loss += tf.reduce_sum(query * smoothed, axis=1)
            x -= smoothed  # the mean embedding under the target distribution

        def gradient(weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            expected = tf.cast(tf.matmul(y, X), query.dtype)
            d_query = weight[:, None] * (expected - x)
            weighted = weight[:, None] * query
            d_candidates = tf.matmul(y, tf.cast(weighted, rounded), transpose_a=True)
            d_candidates = tf.cast(d_candidates, candidates.dtype)
            if label_smoothing:
                items = tf.cast(tf.shape(candidates)[0], query.dtype)
                d_candidates -= label_smoothing / items * tf.reduce_sum(weighted, axis=0)
                weighted *= 1 - label_smoothing
            return d_query, tf.tensor_scatter_nd_sub(d_candidates, target[:, None], weighted)

        return loss, gradient

    return losses(query, tf.convert_to_tensor(candidates))


def log_softmax_at(item: tf.Tensor, scores: tf.Tensor, y: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Compute the log of one item's y in each row, [batch]; y is the softmax of the scores.

    Where y has underflowed, the score's distance from the highest gives it: a
    score less its log y is the same for every item.
    """

    def from_scores() -> tf.Tensor:
        highest, of_highest = tf.reduce_max(scores, axis=1), tf.reduce_max(y, axis=1)
        below = tf.gather(scores, item, batch_dims=1) - highest
        return tf.cast(below, dtype) + tf.math.log(tf.cast(of_highest, dtype))

    of_item = tf.cast(tf.gather(y, item, batch_dims=1), dtype)
    return tf.cond(tf.reduce_all(of_item > 1e-30), lambda: tf.math.log(of_item), from_scores)


def equation_8(scores: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Compute eq. 8 as printed: -log y_target less the sum of log(1 - y) of all others.

    Every item but the highest, h, has y of at most 1/2, where log(1 - y) and the
    odds y / (1 - y) are exact. For h, 1 - y is what the others have together,
    and y_j / (1 - y_h) of another item is its softmax among them, o_j. With the
    odds r of all items but h and the target, the gradient by the scores is

        y (1 - sum r) + r - y_h (o - onehot(h)) - onehot(target)

    without its third term where h is the target.

    Args:
      scores: float [batch, items].
      target: int [batch].

    Returns:
      The losses, [batch].
    """
    depth, dtype = tf.shape(scores)[1], scores.dtype

    @tf.custom_gradient
    def losses(scores: tf.Tensor) -> tuple[tf.Tensor, Any]:
        highest = tf.argmax(scores, axis=1, output_type=tf.int32)
        is_highest = tf.one_hot(highest, depth, dtype=dtype)
        is_target = tf.one_hot(target, depth, dtype=dtype)
        of_others = tf.where(is_highest > 0, dtype.min, scores)
        y, o = tf.nn.softmax(scores), tf.nn.softmax(of_others) * (1 - is_highest)
        others = (1 - is_highest) * (1 - is_target)
        h_is_other = tf.cast(highest != tf.cast(target, tf.int32), dtype)
        # log(1 - y_h): the partition of the others over that of all. A catalogue of
        # one item has no others; its h is the target.
        second = tf.argmax(o, axis=1)
        log_o = tf.math.log(tf.reduce_max(o, axis=1))
        log_complement_h = log_softmax_at(second, scores, y, dtype) - log_o
        log_complement_h = tf.where(h_is_other > 0, log_complement_h, 0)
        loss = -log_softmax_at(target, scores, y, dtype)
        loss -= tf.reduce_sum(tf.math.log1p(-y * others), axis=1) + log_complement_h

        def gradient(weight: tf.Tensor) -> tf.Tensor:
            r = others * y / (1 - y * others)
            y_h = (h_is_other * tf.gather(y, highest, batch_dims=1))[:, None]
            rest = tf.reduce_sum(r, axis=1, keepdims=True)
            d_scores = y * (1 - rest) + r - y_h * (o - is_highest) - is_target
            return weight[:, None] * d_scores

        return loss, gradient

    return losses(scores)
