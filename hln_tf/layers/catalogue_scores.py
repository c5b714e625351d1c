"""Scores of a whole catalogue, in chunks of it that a processor's cache can hold.

Scores that are counted or searched while they are in the cache never travel to
memory and back, and a catalogue of millions needs no more memory than a small one.
A chunk's product may differ from the whole catalogue's in the last bit, so what
is compared comes from products of one shape: all chunks have the same width,
the last one overlaps the one before it, and the targets' own scores come from a
product as wide. Where a library sums products of any width in the same order,
as TensorFlow does on CPUs, chunks give what one product gives, bit for bit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from hln_tf.layers.choices import SCORE_MEGABYTES

# The name scope of the products of queries and candidates, by which a profile finds them.
SCORING = "score_catalogue"
# Slices that begin and end at a multiple of this many rows share the table's memory.
_ALIGNED_ROWS = 16
# Scores of a group of neighbours in `top_k`, and the smallest batch for which groups are faster.
_GROUP = 64
_LEAST_BATCH = 8


def chunk_width(items: int | tf.Tensor, batch: int | tf.Tensor, megabytes: int) -> tf.Tensor:
    """Compute the items in a chunk: chunks as few and as even as memory allows.

    Args:
      items: Size of the catalogue.
      batch: Number of queries.
      megabytes: Memory for the float32 scores of a chunk, in 10^6 bytes.

    Returns:
      int32 [], the size of the catalogue where one product is enough; at least
      `batch`, so that the targets of a batch fit in a chunk.
    """
    batch = tf.maximum(batch, 1)
    fitting = tf.maximum(megabytes * 250_000 // batch, batch)
    chunks = -(-items // fitting)
    even = tf.maximum(-(-items // chunks), batch)
    aligned = -(-even // _ALIGNED_ROWS) * _ALIGNED_ROWS
    return tf.minimum(aligned, items)


def target_ranks(scores: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Compute the rank of each example's target among all items, from 1.

    An item that ties with the target counts as ranked before it, and so does
    every item where a score is not a number: a constant or broken scorer gets
    the last rank. The target's score is taken from the matrix itself; computed
    apart it would differ in the last bits and change ranks.

    Args:
      scores: float [batch, items].
      target: int [batch], index of the target.

    Returns:
      int32 [batch].
    """
    return rank_targets(scores, target)[0]


def rank_targets(scores: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `target_ranks`, and the targets' scores, float [batch]."""
    of_target = tf.gather(scores, target[:, None], batch_dims=1)
    return tf.shape(scores)[1] - _count_lower(scores, of_target), of_target[:, 0]


class CatalogueStatistics(NamedTuple):
    """Statistics of the scores of all candidates, for each query.

    Attributes:
      ranks: int32 [batch], the target's rank from 1, see `target_ranks`.
      target_scores: float [batch], the target's score.
      log_partition: float [batch], log-sum-exp over all scores.
      mean_scores: float [batch], the mean of all scores, where these are no dot
        products, of which it is that with the mean embedding; else None.
    """

    ranks: tf.Tensor
    target_scores: tf.Tensor
    log_partition: tf.Tensor
    mean_scores: tf.Tensor | None = None

    def cross_entropy(self) -> tf.Tensor:
        """Compute the full softmax's cross-entropy of each target, float [batch]."""
        return self.log_partition - self.target_scores


def rank_in_catalogue(
    query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, megabytes: int = SCORE_MEGABYTES
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `rank_targets` of the scores of queries with all candidates, in chunks if needed.

    Args:
      query: float [batch, d].
      candidates: float [items, d], the whole catalogue.
      target: int [batch], row of each example's target in the catalogue.
      megabytes: Memory for scores at a time, see `chunk_width`.

    Returns:
      The targets' ranks from 1, int32 [batch], and their scores, float [batch].
    """
    candidates = tf.convert_to_tensor(candidates)
    width = chunk_width(tf.shape(candidates)[0], tf.shape(query)[0], megabytes)
    return tf.cond(
        width < tf.shape(candidates)[0],
        lambda: _count_in_chunks(query, candidates, target, width, lambda *_: [], []),
        lambda: rank_targets(_product(query, candidates), target),
    )


def catalogue_statistics(
    query: tf.Tensor, candidates: tf.Tensor, target: tf.Tensor, megabytes: int = SCORE_MEGABYTES
) -> CatalogueStatistics:
    """Compute ranks, target scores and partition functions from one pass over the scores.

    Args:
      query: float [batch, d].
      candidates: float [items, d], the whole catalogue.
      target: int [batch], row of each example's target in the catalogue.
      megabytes: Memory for scores at a time, see `chunk_width`.
    """
    candidates = tf.convert_to_tensor(candidates)
    width = chunk_width(tf.shape(candidates)[0], tf.shape(query)[0], megabytes)

    def add(scores: tf.Tensor, _: tf.Tensor, partition: list[tf.Tensor]) -> list[tf.Tensor]:
        chunk = tf.reduce_logsumexp(scores, axis=1)
        return [tf.reduce_logsumexp(tf.stack([*partition, chunk]), axis=0)]

    def at_once() -> tuple[tf.Tensor, ...]:
        scores = _product(query, candidates)
        return *rank_targets(scores, target), tf.reduce_logsumexp(scores, axis=1)

    nothing = [tf.fill([tf.shape(query)[0]], query.dtype.min)]
    return CatalogueStatistics(
        *tf.cond(
            width < tf.shape(candidates)[0],
            lambda: _count_in_chunks(query, candidates, target, width, add, nothing),
            at_once,
        )
    )


def _count_in_chunks(
    query: tf.Tensor,
    candidates: tf.Tensor,
    target: tf.Tensor,
    width: tf.Tensor,
    add: Callable[[tf.Tensor, tf.Tensor, list[tf.Tensor]], list[tf.Tensor]],
    state: list[tf.Tensor],
) -> tuple[tf.Tensor, ...]:
    """Rank targets chunk by chunk, and add each chunk's scores to a state in the same pass.

    Returns:
      Ranks, the targets' scores, and the state.
    """
    target = tf.cast(target, tf.int32)
    # The targets, padded to a chunk: their scores come from a product like the others.
    padded = tf.pad(target, [[0, width - tf.size(target)]])
    of_target = tf.linalg.diag_part(_product(query, tf.gather(candidates, padded)))[:, None]

    def count(scores: tf.Tensor, first: tf.Tensor, counted: Any) -> Any:
        lower, *state = counted
        # No target ranks below itself, should its score come out otherwise here.
        place = target - first
        inside = (place >= 0) & (place < tf.shape(scores)[1])
        itself = tf.gather(scores, tf.where(inside, place, 0)[:, None], batch_dims=1)
        lower += _count_lower(scores, of_target)
        lower -= tf.cast(inside & (itself < of_target)[:, 0], tf.int32)
        return [lower, *add(scores, first, state)]

    start = [tf.zeros_like(target), *state]
    lower, *state = _over_chunks(query, candidates, width, count, start)
    return tf.shape(candidates)[0] - lower, of_target[:, 0], *state


def catalogue_top_k(
    query: tf.Tensor, candidates: tf.Tensor, k: tf.Tensor, megabytes: int = SCORE_MEGABYTES
) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the k candidates that score highest for each query, in chunks if needed.

    Args:
      query: float [batch, d].
      candidates: float [items, d], the whole catalogue.
      k: int32 [], at most the size of the catalogue.
      megabytes: Memory for scores at a time, see `chunk_width`.

    Returns:
      Scores, float [batch, k], highest first, and their candidates, int32
      [batch, k], of equal ones the smaller index first.
    """
    candidates = tf.convert_to_tensor(candidates)
    batch = tf.shape(query)[0]
    # At least k, so that the first chunk has k results and every chunk leaves as many.
    width = tf.maximum(chunk_width(tf.shape(candidates)[0], batch, megabytes), k)

    of_first = top_k(_product(query, _chunk(candidates, 0, width)), k)
    return _over_chunks(query, candidates, width, _merge_top_k, of_first, first=width)


class RankedLists(NamedTuple):
    """The candidates that score highest for each query, and the target's place among all.

    Attributes:
      ranks: int32 [batch], the target's rank from 1, see `target_ranks`.
      target_scores: float [batch], the target's score.
      top: int32 [batch, k], candidates, highest score first.
    """

    ranks: tf.Tensor
    target_scores: tf.Tensor
    top: tf.Tensor


def ranked_lists(
    query: tf.Tensor,
    candidates: tf.Tensor,
    target: tf.Tensor,
    k: int,
    megabytes: int = SCORE_MEGABYTES,
) -> RankedLists:
    """Rank targets and find the top k of the catalogue in one pass over the scores.

    Args:
      query: float [batch, d].
      candidates: float [items, d], the whole catalogue.
      target: int [batch], row of each example's target in the catalogue.
      k: From 1 to the size of the catalogue.
      megabytes: Memory for scores at a time, see `chunk_width`.
    """
    candidates = tf.convert_to_tensor(candidates)
    batch = tf.shape(query)[0]
    width = tf.maximum(chunk_width(tf.shape(candidates)[0], batch, megabytes), k)
    # No score is lower, so these are replaced in the first chunks.
    nothing = [tf.fill([batch, k], query.dtype.min), tf.zeros([batch, k], tf.int32)]

    def add(scores: tf.Tensor, first: tf.Tensor, state: list[tf.Tensor]) -> list[tf.Tensor]:
        return list(_merge_top_k(scores, first, state))

    def at_once() -> tuple[tf.Tensor, ...]:
        scores = _product(query, candidates)
        return *rank_targets(scores, target), *top_k(scores, k)

    ranks, scores, _, top = tf.cond(
        width < tf.shape(candidates)[0],
        lambda: _count_in_chunks(query, candidates, target, width, add, nothing),
        at_once,
    )
    return RankedLists(ranks, scores, top)


def top_k(scores: tf.Tensor, k: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the k highest scores, as `tf.math.top_k`, in half its time for batches.

    The k highest are in the k groups of neighbours with the highest maxima: every
    other group is preceded by one score of each of these, of equal ones by its place.

    Args:
      scores: float [batch, items].
      k: Number of them, at most the items.

    Returns:
      Scores, float [batch, k], highest first, and their places, int32 [batch, k],
      of equal ones the smaller place first.
    """
    batch, items = tf.unstack(tf.shape(scores))
    groups = items // _GROUP
    of_size_k = tf.zeros([k])  # a shape is a constant in XLA, a captured tensor is not

    def of_groups() -> tuple[tf.Tensor, tf.Tensor]:
        k = tf.shape(of_size_k)[0]
        some = tf.minimum(k, groups)  # XLA compiles this for small catalogues, too
        grouped = tf.reshape(scores[:, : groups * _GROUP], [batch, groups, _GROUP])
        chosen = tf.math.top_k(tf.reduce_max(grouped, axis=2), some, sorted=False).indices
        chosen = tf.sort(chosen, axis=1)
        rest = tf.broadcast_to(tf.range(groups * _GROUP, items), [batch, items % _GROUP])
        among = tf.reshape(chosen[:, :, None] * _GROUP + tf.range(_GROUP), [batch, some * _GROUP])
        of_chosen = tf.reshape(tf.gather(grouped, chosen, batch_dims=1), [batch, some * _GROUP])
        values, order = tf.math.top_k(tf.concat([of_chosen, scores[:, groups * _GROUP :]], 1), k)
        return values, tf.gather(tf.concat([among, rest], 1), order, batch_dims=1)

    return tf.cond(
        (batch >= _LEAST_BATCH) & (items >= 4 * _GROUP * k),
        of_groups,
        lambda: tuple(tf.math.top_k(scores, tf.shape(of_size_k)[0])),
    )


def _merge_top_k(scores: tf.Tensor, first: tf.Tensor, state: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Merge the scores of the items from `first` on into the top k so far."""
    values, indices = state
    k = tf.shape(values)[1]  # a shape is a constant in XLA, a captured tensor is not
    found, place = top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    # Earlier ones come first: of equal values `top_k` takes the first.
    values, indices = tf.concat([values, found], 1), tf.concat([indices, place + first], 1)
    values, order = tf.math.top_k(values, k)
    return values, tf.gather(indices, order, batch_dims=1)


def _over_chunks(
    query: tf.Tensor,
    candidates: tf.Tensor,
    width: tf.Tensor,
    step: Callable[[tf.Tensor, tf.Tensor, Any], Any],
    state: Any,
    first: int | tf.Tensor = 0,
) -> Any:
    """Fold `state = step(scores, first, state)` over the chunks of the catalogue.

    `scores` are those of the items from `first` on that were in no chunk before:
    of a last chunk that overlaps the one before it, its end. That chunk is not
    part of the loop, so all shapes follow from those of the inputs, as XLA needs.
    """
    items = tf.shape(candidates)[0]
    whole = items // width * width

    def body(first: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        scores = _product(query, _chunk(candidates, first, width))
        return first + width, step(scores, first, state)

    unknown = tf.nest.map_structure(lambda part: tf.TensorShape([None] * part.shape.rank), state)
    _, state = tf.while_loop(
        lambda first, _: first < whole,
        body,
        (tf.convert_to_tensor(first), state),
        shape_invariants=(tf.TensorShape([]), unknown),
        parallel_iterations=1,  # more would hold the scores of several chunks
    )

    def with_rest() -> Any:
        scores = _product(query, _chunk(candidates, items - width, width))
        return step(scores[:, whole - (items - width) :], whole, state)

    return tf.cond(whole < items, with_rest, lambda: state)


def _chunk(candidates: tf.Tensor, first: int | tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.slice(candidates, [first, 0], [width, tf.shape(candidates)[1]])


def _product(query: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    with tf.name_scope(SCORING):
        return tf.matmul(query, candidates, transpose_b=True)


def _count_lower(scores: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Count the scores of each row below its bound, int32 [batch]."""
    return tf.reduce_sum(tf.cast(scores < bound, tf.int32), axis=1)
