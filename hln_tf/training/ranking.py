"""Ranks and scores of the targets of examples among all items."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes
from hln_tf.layers.catalogue_scores import rank_targets, ranked_lists, top_k
from hln_tf.metrics.beyond_accuracy import BeyondAccuracy
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import ITEMS, TARGET, compiled

# Memory for scores at a time where lists are needed: in small chunks top-k is slow.
_LIST_MEGABYTES = 160

# Examples, the ranks of their targets from 1, and the targets' scores.
_Ranked = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]]
_Batch = TypeVar("_Batch", bound=tuple[Any, ...])


def rank_examples(
    model: SessionScorer,
    prefixes: Prefixes,
    batch_size: int,
    label: str,
    stop: StopOnSignal | None = None,
    beyond_accuracy: BeyondAccuracy | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Rank the target of each example among all items; equal examples are ranked once.

    Args:
      model: The model.
      prefixes: The examples.
      batch_size: Examples ranked at a time.
      label: Label of the progress bar.
      stop: Checked after every batch.
      beyond_accuracy: Gets the recommendations for each example too, if given.

    Returns:
      The targets' ranks from 1, int32 [examples], and their scores, float32
      [examples], in order of the examples.

    Raises:
      TrainingInterrupt: A signal arrived.
    """
    distinct, equal = prefixes.distinct()
    if beyond_accuracy:
        times = np.zeros(len(prefixes), np.int64)
        times[distinct] = np.bincount(equal, minlength=len(distinct))
        batches = _listed_batches(model, prefixes, distinct, batch_size, beyond_accuracy, times)
    else:
        batches = _ranked_batches(model, prefixes, distinct, batch_size)
    ranks = np.empty(len(prefixes), np.int32)
    scores = np.empty(len(prefixes), np.float32)
    for chosen, of_chosen, scores_of_chosen in _reported(batches, len(distinct), label, stop):
        ranks[chosen], scores[chosen] = of_chosen, scores_of_chosen
    return ranks[distinct][equal], scores[distinct][equal]


def batches_by_length(
    prefixes: Prefixes, batch_size: int, label: str, stop: StopOnSignal | None = None
) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int32]]]]:
    """Make batches of all examples, shortest prefixes first, with a progress bar.

    Args:
      prefixes: The examples.
      batch_size: Examples in a batch.
      label: Label of the progress bar.
      stop: Checked after every batch.

    Returns:
      The batches, see `Prefixes.length_batches`. They raise `TrainingInterrupt` where a
      signal arrived.
    """
    batches = prefixes.length_batches(np.arange(len(prefixes)), batch_size)
    return _reported(batches, len(prefixes), label, stop)


def _ranked_batches(
    model: SessionScorer, prefixes: Prefixes, chosen: npt.NDArray[np.int64], batch_size: int
) -> Iterator[_Ranked]:
    """Rank chosen examples.

    A model that `encodes_prefixes` encodes a session once and not each of its prefixes.
    """
    rank_runs = model.compiled_rank_prefixes if isinstance(model, SessionEncoder) else None
    if rank_runs is not None:
        is_in_run = prefixes.in_runs(chosen)
        left = [chosen[~is_in_run]]
        for examples, batch in prefixes.run_batches(chosen[is_in_run], batch_size):
            found = rank_runs(batch["items"], batch["target"])
            ranks, scores = (part.numpy()[batch["target"] > 0] for part in found)
            is_ranked = ranks > 0
            yield examples[is_ranked], ranks[is_ranked], scores[is_ranked]
            left.append(examples[~is_ranked])
        chosen = np.concatenate(left)
    for examples, batch in prefixes.length_batches(chosen, batch_size):
        ranks, scores = model.compiled_rank_targets(batch["items"], batch["target"])
        yield examples, ranks.numpy(), scores.numpy()


def _listed_batches(
    model: SessionScorer,
    prefixes: Prefixes,
    chosen: npt.NDArray[np.int64],
    batch_size: int,
    beyond_accuracy: BeyondAccuracy,
    times: npt.NDArray[np.int64],
) -> Iterator[_Ranked]:
    """Rank chosen examples, and add the recommendations for each as often as `times` says."""
    rank_and_list = _compiled_lists(model, beyond_accuracy.longest)
    for examples, batch in prefixes.length_batches(chosen, batch_size):
        found = rank_and_list(batch["items"], batch["target"])
        ranks, scores, lists = (part.numpy() for part in found)
        beyond_accuracy.update(lists, batch["items"], times[examples])
        yield examples, ranks, scores


def _compiled_lists(
    model: SessionScorer, k: int
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Compile a function of items and targets that returns ranks, scores and k item indices."""

    def by_embeddings(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        assert isinstance(model, SessionEncoder)
        query, candidates = model.encode(items), model.item_embeddings()
        megabytes = max(model.ranking.megabytes, _LIST_MEGABYTES)
        found = ranked_lists(query, candidates, target - 1, k, megabytes)
        return found.ranks, found.target_scores, found.top + 1

    def by_scores(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        scores = model.scores(items)
        return *rank_targets(scores, target - 1), top_k(scores, k)[1] + 1

    function = by_scores if model.encode is None else by_embeddings
    return compiled(function, [ITEMS, TARGET], model)


def _reported(
    batches: Iterable[_Batch], examples: int, label: str, stop: StopOnSignal | None
) -> Iterator[_Batch]:
    """Show the progress of batches, whose first part are examples; check for a signal."""
    with progress_bar(label, "examples", examples) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch[0]))
            if stop is not None:
                stop.check()
