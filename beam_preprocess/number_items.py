"""The transforms `SplitByDate` and `NumberItems`: sessions to train and test of item indices."""

from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection

from beam_preprocess import splits
from beam_preprocess.batches import batch_to_sessions, sessions_to_batch
from beam_preprocess.combiners import EarliestAppearances, FindSpan
from beam_preprocess.progress import Progress
from beam_preprocess.settings import Settings
from beam_preprocess.splits import Span
from hln_tf.data import protocol, vocabulary
from hln_tf.data.vocabulary import Appearances


class Parts(NamedTuple):
    """Full train and test.

    Attributes:
      sessions: `(part, batch of sessions)`, the part being `train` or `test`.
      span: One `Span`: the dates of all sessions; nothing where there is no session.
    """

    sessions: PCollection
    span: PCollection


class SplitByDate(beam.PTransform):
    """Splits sessions into full train and test; batches become `Parts`.

    Args:
      settings: The protocol.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def expand(self, sessions: PCollection) -> Parts:
        """Add the steps."""
        span = (
            sessions
            | "Dates" >> beam.Map(first_and_last)
            | "Latest" >> beam.CombineGlobally(FindSpan()).without_defaults()
            | "Boundary" >> beam.Map(find_boundary, self.settings)
        )
        parts = sessions | "Split" >> beam.FlatMap(split_sessions, AsSingleton(span, None))
        return Parts(parts, span)


def first_and_last(sessions: pa.RecordBatch) -> tuple[int, int]:
    """Return the first and the last date of a batch, which is not empty."""
    dates = sessions["date"].to_numpy()
    return int(dates.min()), int(dates.max())


def find_boundary(dates: tuple[int, int], settings: Settings) -> Span:
    """Find the boundary between train and test from the first and last date of all sessions."""
    return splits.find_span(*dates, settings)


def split_sessions(sessions: pa.RecordBatch, span: Span) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Split a batch into those of train and of test."""
    parts = protocol.split_train_test(batch_to_sessions(sessions), span.boundary)
    for name, part in zip(("train", "test"), parts, strict=True):
        if len(part):
            yield name, sessions_to_batch(part)


class Numbered(NamedTuple):
    """Full train and test of item indices.

    Attributes:
      sessions: `(part, batch of sessions)`.
      indices: One array: the item index of each frequent item; 0: train never has it.
    """

    sessions: PCollection
    indices: PCollection


class NumberItems(beam.PTransform):
    """Replaces items by item indices in order of first appearance in train.

    `(part, batch)` becomes `Numbered`; items that train never has leave test.

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
            | "Train" >> beam.Filter(lambda part: part[0] == "train")
            | "Appearances" >> beam.Map(first_appearances)
            | "Earliest" >> beam.CombineGlobally(EarliestAppearances())
            | "Indices" >> beam.Map(assign_indices, AsSingleton(self.items))
        )
        numbered = sessions | "Number" >> beam.FlatMap(
            number_sessions, self.settings, self.progress, AsSingleton(indices)
        )
        return Numbered(numbered, indices)


def first_appearances(part: tuple[str, pa.RecordBatch]) -> Appearances:
    """Find the first appearance of each item of a batch."""
    return vocabulary.first_appearances(batch_to_sessions(part[1]))


def assign_indices(appearances: Appearances, items: pa.StringArray) -> np.ndarray:
    """Assign item indices in order of first appearance."""
    return vocabulary.assign_item_indices([appearances], len(items))


def number_sessions(
    part: tuple[str, pa.RecordBatch], settings: Settings, progress: Progress, indices: np.ndarray
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Replace the items of a batch."""
    progress.counts.add("number items")
    name, batch = part
    sessions = batch_to_sessions(batch)
    if name == "train":
        numbered = protocol.index_train_items(sessions, indices)
    else:
        numbered = protocol.index_test_items(sessions, indices, settings)
    yield name, sessions_to_batch(numbered)
