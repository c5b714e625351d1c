"""The transforms `SplitByDate` and `NumberItems`: sessions to parts of item indices."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput

from beam_preprocess import splits
from beam_preprocess.batches import batch_to_sessions, sessions_to_batch
from beam_preprocess.combiners import (
    AddArrays,
    AddDateCounts,
    AddNamedCounts,
    EarliestAppearances,
    FindSpan,
)
from beam_preprocess.progress import Progress
from beam_preprocess.settings import Settings
from beam_preprocess.splits import Span
from hln_tf.data import boundaries, protocol, vocabulary
from hln_tf.data.parts import BUCKETS, buckets
from hln_tf.data.vocabulary import Appearances

_WithoutIndex = TaggedOutput[Literal["without index"], dict[str, int]]


class Parts(NamedTuple):
    """The parts that dates or files separate.

    Attributes:
      sessions: `(part, batch of sessions)`, the part being `train`, `test`, or
        `validation` where that is not a fraction of train.
      span: One `Span`: the dates of all sessions; nothing where there is no session.
    """

    sessions: PCollection
    span: PCollection


class SplitByDate(beam.PTransform):
    """Splits sessions into parts; batches become `Parts`.

    Args:
      settings: The protocol.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def expand(self, sessions: PCollection) -> Parts:
        """Add the steps."""
        dates = (
            sessions
            | "Dates" >> beam.Map(first_and_last)
            | "FirstAndLast" >> beam.CombineGlobally(FindSpan()).without_defaults()
        )
        if self.settings.test_fraction == "0":
            span = dates | "Boundary" >> beam.Map(find_boundary, self.settings)
        else:
            # The date of one rank in two steps, since not all dates fit into one worker: its
            # bucket by the counts of all, and then its date by those of this bucket.
            count = beam.CombineGlobally(AddArrays()).without_defaults()
            counts = sessions | "CountDates" >> beam.Map(count_dates, AsSingleton(dates))
            rank = (
                counts
                | "AddDates" >> count
                | "FindBucket" >> beam.Map(splits.find_bucket, self.settings)
            )
            dated = sessions | "DatesOfBucket" >> beam.Map(
                dates_of_bucket, AsSingleton(dates), AsSingleton(rank)
            )
            span = (
                dated
                | "AddDatesOfBucket" >> beam.CombineGlobally(AddDateCounts()).without_defaults()
                | "BoundaryOfRank"
                >> beam.Map(
                    find_boundary_of_rank, AsSingleton(dates), AsSingleton(rank), self.settings
                )
            )
        split = beam.FlatMap(split_sessions, AsSingleton(span, None), self.settings)
        return Parts(sessions | "Split" >> split, span)


def first_and_last(sessions: pa.RecordBatch) -> tuple[int, int]:
    """Return the first and the last date of a batch, which is not empty."""
    dates = sessions["date"].to_numpy()
    return int(dates.min()), int(dates.max())


def find_boundary(dates: tuple[int, int], settings: Settings) -> Span:
    """Find the boundary between the parts from the first and last date of all sessions."""
    return Span(*dates, boundaries.find_boundary(dates[1], settings))


def count_dates(sessions: pa.RecordBatch, dates: tuple[int, int]) -> np.ndarray:
    """Count the sessions of a batch in each bucket."""
    return np.bincount(buckets(sessions["date"].to_numpy(), *dates), minlength=BUCKETS)


def dates_of_bucket(
    sessions: pa.RecordBatch, dates: tuple[int, int], rank: tuple[int, int]
) -> np.ndarray:
    """Count the sessions of each date of a bucket, int64 [2, dates]: dates and counts."""
    found = sessions["date"].to_numpy()
    inside = found[buckets(found, *dates) == rank[0]]
    return np.stack(np.unique(inside, return_counts=True))


def find_boundary_of_rank(
    counts: np.ndarray, dates: tuple[int, int], rank: tuple[int, int], settings: Settings
) -> Span:
    """Find the boundary between the parts by the date of the last train session.

    Args:
      counts: Dates of its bucket and their sessions, int64 [2, dates].
      dates: The first and the last date of all sessions.
      rank: Its bucket, and its rank in that.
      settings: The protocol.
    """
    place = np.searchsorted(np.cumsum(counts[1]), rank[1], "right")
    return Span(*dates, boundaries.find_boundary(int(counts[0][place]), settings))


def split_sessions(
    sessions: pa.RecordBatch, span: Span, settings: Settings
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Split a batch into those of the parts."""
    parts = boundaries.split_parts(batch_to_sessions(sessions), span.boundary, settings)
    for name, part in parts.items():
        if len(part):
            yield name, sessions_to_batch(part)


class Numbered(NamedTuple):
    """The parts with item indices.

    Attributes:
      sessions: `(part, batch of sessions)`.
      indices: One array: the item index of each frequent item; 0: full train lacks it.
      without_index: One dictionary of counts of test clicks, see
        `hln_tf.data.protocol.index_test_items`; nothing without a test part.
    """

    sessions: PCollection
    indices: PCollection
    without_index: PCollection


class NumberItems(beam.PTransform):
    """Replaces items by item indices in order of first appearance in full train.

    `(part, batch)` becomes `Numbered`.

    Args:
      settings: The protocol.
      items: The ids of the frequent items.
      progress: Notes the stage.
    """

    def __init__(self, settings: Settings, items: PCollection, progress: Progress) -> None:
        super().__init__()
        self.settings, self.items, self.progress = settings, items, progress

    def expand(self, sessions: PCollection) -> Numbered:
        """Add the steps."""
        indices = (
            sessions
            | "FullTrain" >> beam.Filter(lambda part: part[0] != "test")
            | "Appearances" >> beam.Map(first_appearances)
            | "Earliest" >> beam.CombineGlobally(EarliestAppearances())
            | "Indices" >> beam.Map(assign_indices, AsSingleton(self.items))
        )
        numbered = sessions | "Number" >> beam.FlatMap(
            number_sessions, self.settings, self.progress, AsSingleton(indices)
        ).with_outputs("without index", main="sessions")
        add = beam.CombineGlobally(AddNamedCounts()).without_defaults()
        without_index = numbered["without index"] | "AddWithoutIndex" >> add
        return Numbered(numbered["sessions"], indices, without_index)


def first_appearances(part: tuple[str, pa.RecordBatch]) -> Appearances:
    """Find the first appearance of each item of a batch."""
    return vocabulary.first_appearances(batch_to_sessions(part[1]))


def assign_indices(appearances: Appearances, items: pa.StringArray) -> np.ndarray:
    """Assign item indices in order of first appearance."""
    return vocabulary.assign_item_indices([appearances], len(items))


def number_sessions(
    part: tuple[str, pa.RecordBatch], settings: Settings, progress: Progress, indices: np.ndarray
) -> Iterator[tuple[str, pa.RecordBatch] | _WithoutIndex]:
    """Replace the items of a batch."""
    progress.counts.add("number items")
    name, batch = part
    sessions = batch_to_sessions(batch)
    if name == "test":
        numbered, without_index = protocol.index_test_items(sessions, indices, settings)
        yield TaggedOutput("without index", without_index)
    else:
        numbered = protocol.index_train_items(sessions, indices)
    yield name, sessions_to_batch(numbered)
