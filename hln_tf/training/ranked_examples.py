"""Ranks, scores and recommendations of a part's examples, for what is computed from them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from hln_tf.analysis.ranked_examples import (
    KEYS,
    example_keys,
    examples_table,
    read_examples,
    with_extra,
    write_examples,
)
from hln_tf.common.files import Location
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.layout import Manifest, check_extra
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.layers.catalogue_scores import rank_targets, ranked_lists, top_k
from hln_tf.metrics.beyond_accuracy import BeyondAccuracy
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import ITEMS, TARGET, compiled
from hln_tf.training.evaluation import batches_by_length
from hln_tf.training.run_directory import RunDirectory

# Memory for scores at a time where lists are needed: in small chunks top-k is slow.
_LIST_MEGABYTES = 160

Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def rank_examples(
    model: SessionScorer,
    prefixes: Prefixes,
    batch_size: int,
    label: str,
    stop: StopOnSignal,
    beyond_accuracy: BeyondAccuracy | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Rank the target of each example among all items.

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
    step = _compiled_step(model, beyond_accuracy.longest if beyond_accuracy else 0)
    ranks = np.empty(len(prefixes), np.int32)
    scores = np.empty(len(prefixes), np.float32)
    for chosen, batch in batches_by_length(prefixes, batch_size, label, stop):
        found = step(batch["items"], batch["target"])
        ranks[chosen], scores[chosen] = found[0], found[1]
        if beyond_accuracy:
            beyond_accuracy.update(found[2].numpy(), batch["items"])
    return ranks, scores


def rank_runs(
    directories: Mapping[Path, Location], split: str, columns: Sequence[str] = ()
) -> tuple[dict[Path, pa.Table], dict[Path, Sessions]]:
    """Read the tables of ranked examples of runs, or rank them and write them.

    Args:
      directories: The data set directory of each run, by run directory.
      split: The part to rank.
      columns: Extra columns that the data sets must have.

    Returns:
      The tables, and the sessions that they are examples of, by run directory.

    Raises:
      HlnError: As for `ranked_examples`, or a data set is damaged.
      UsageError: A data set lacks an extra column.
      TrainingInterrupt: A signal arrived.
    """
    for directory in dict.fromkeys(directories.values()):
        check_extra(columns, Manifest.read(directory).extra_columns, str(directory))
    parts = {
        each: read_sessions(each, split, extra=True) for each in dict.fromkeys(directories.values())
    }
    sessions = {run: parts[directory] for run, directory in directories.items()}
    with StopOnSignal() as stop:
        tables = {
            run: ranked_examples(RunDirectory(run), split, of_run, stop)
            for run, of_run in sessions.items()
        }
    return tables, sessions


def ranked_examples(
    run: RunDirectory, split: str, sessions: Sessions, stop: StopOnSignal
) -> pa.Table:
    """Read a run's table of ranked examples, or rank them and write it.

    Args:
      run: A finished run.
      split: The part that the sessions are.
      sessions: The sessions.
      stop: Checked while examples are ranked.

    Raises:
      HlnError: The run is not finished, or the table is damaged.
      TrainingInterrupt: A signal arrived.
    """
    training = run.config().training
    prefixes = Prefixes.from_sessions(sessions, training.max_length)
    vocabulary = run.vocabulary()
    path = run.ranks(split)
    if path.exists():
        table = read_examples(path)
        if table.select(KEYS).equals(example_keys(sessions, prefixes, vocabulary)):
            return with_extra(table, sessions, prefixes)
    model = run.model()
    batch_size = training.evaluation_batch_size
    found = rank_examples(model, prefixes, batch_size, str(run.path), stop)
    table = examples_table(sessions, prefixes, *found, model.item_counts.numpy(), vocabulary)
    write_examples(path, table)
    return table


def _compiled_step(model: SessionScorer, k: int) -> Step:
    """Compile a function of items and targets that returns ranks, scores and k item indices."""

    def by_embeddings(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        assert isinstance(model, SessionEncoder)
        query, candidates = model.encode(items), model.item_embeddings()
        megabytes = max(model.ranking.megabytes, _LIST_MEGABYTES if k else 0)
        found = ranked_lists(query, candidates, target - 1, k, megabytes)
        return found.ranks, found.target_scores, found.top + 1

    def by_statistics(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        assert isinstance(model, SessionEncoder)
        query, repeats = model.encode_with_repeats(items)
        found = model.ranking.statistics(query, model.item_embeddings(), target - 1, repeats)
        return found.ranks, found.target_scores, tf.zeros([tf.shape(items)[0], 0], tf.int32)

    def by_scores(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        scores = model.scores(items)
        return *rank_targets(scores, target - 1), top_k(scores, k)[1] + 1

    function = by_embeddings
    if model.encode is None:
        # The scores of a repeat head are made in parts where no lists are made of them.
        function = by_scores if k or not isinstance(model, SessionEncoder) else by_statistics
    return compiled(function, [ITEMS, TARGET], model)
