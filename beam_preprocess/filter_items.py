"""The transforms `GroupSessions`, `CountItems` and `FilterItems`: clicks to filtered sessions."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput

from beam_preprocess.batches import (
    batch_item_ids,
    batch_to_sessions,
    sessions_to_batch,
)
from beam_preprocess.combiners import AddItemCounts, AddNamedCounts
from beam_preprocess.doubts import Doubts, doubt_items, doubt_sessions
from beam_preprocess.progress import Progress, count
from beam_preprocess.rows import merge_partition, stable_hash
from beam_preprocess.settings import Settings
from beam_preprocess.spellings import normalise_ids
from beam_preprocess.stats import Rows
from hln_tf.data import protocol, vocabulary

_ClicksLeft = TaggedOutput[Literal["clicks left"], dict[str, int]]
_Doubts = TaggedOutput[Literal["doubts"], Doubts]
ARRIVED = "arrived"  # clicks that were grouped, to be compared with those that were read


class Filtered(NamedTuple):
    """The result of a filter.

    Attributes:
      sessions: Batches of sessions.
      clicks_left: One dictionary: the clicks that each filter left, in their order;
        nothing where there were no clicks.
    """

    sessions: PCollection
    clicks_left: PCollection


class Grouped(NamedTuple):
    """The sessions of a log.

    Attributes:
      sessions: Batches of sessions.
      clicks_left: As in `Filtered`.
      doubts: One `Doubts` for each partition.
    """

    sessions: PCollection
    clicks_left: PCollection
    doubts: PCollection


class Counted(NamedTuple):
    """The items of a log.

    Attributes:
      ids: One array, the sorted ids of the frequent items.
      doubts: One `Doubts` for each part of all items.
    """

    ids: PCollection
    doubts: PCollection


def _add_clicks_left(clicks_left: PCollection) -> PCollection:
    add = beam.CombineGlobally(AddNamedCounts()).without_defaults()
    return clicks_left | "AddClicksLeft" >> add


class GroupSessions(beam.PTransform):
    """Groups clicks by session; `(partition, clicks)` become `Grouped` with item ids.

    Args:
      settings: The protocol.
      rows: The counts of the rows; of a log that cannot be used nothing is grouped.
      progress: Notes the stage.
    """

    def __init__(self, settings: Settings, rows: PCollection, progress: Progress) -> None:
        super().__init__()
        self.settings, self.rows, self.progress = settings, rows, progress

    def expand(self, clicks: PCollection) -> Grouped:
        """Add the steps."""
        grouped = (
            clicks
            | "ByPartition" >> beam.GroupByKey()
            | "Group"
            >> beam.FlatMap(
                group_sessions, self.settings, AsSingleton(self.rows), self.progress
            ).with_outputs("clicks left", "doubts", main="sessions")
        )
        left = _add_clicks_left(grouped["clicks left"])
        return Grouped(grouped["sessions"], left, grouped["doubts"])


def group_sessions(
    clicks: tuple[int, Iterable[pa.RecordBatch]],
    settings: Settings,
    rows: Rows,
    progress: Progress,
) -> Iterator[pa.RecordBatch | _ClicksLeft | _Doubts]:
    """Group the clicks of a partition."""
    if rows.problem:
        return
    progress.counts.add("group sessions")
    merged = merge_partition(clicks[1])
    positions = merged["position"].to_numpy()
    grouped, ids = protocol.group_clicks(merged, "session", positions, settings)
    grouped, left = protocol.drop_short_sessions(grouped, settings)
    yield TaggedOutput("clicks left", {ARRIVED: merged.num_rows, **_counted(left)})
    sessions = merged["session"].combine_chunks()
    yield TaggedOutput("doubts", doubt_sessions(sessions, merged["time"].to_numpy(), settings))
    yield sessions_to_batch(grouped, ids)


class CountItems(beam.PTransform):
    """Counts items; batches of sessions become `Counted`.

    Counts are added up by parts of all items; only the items that are left, the vocabulary,
    come together in one worker.

    Args:
      settings: The protocol.
      partitions: Number of parts.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        super().__init__()
        self.settings, self.partitions = settings, partitions

    def expand(self, sessions: PCollection) -> Counted:
        """Add the steps."""
        counts = (
            sessions
            | "Count" >> beam.FlatMap(count_items, self.partitions)
            | "Add" >> beam.CombinePerKey(AddItemCounts())
        )
        ids = (
            counts
            | "RetainFrequent" >> beam.Map(retain_frequent, self.settings)
            | "List" >> beam.CombineGlobally(AddItemCounts())
            | "Select" >> beam.Map(select_items, self.settings)
        )
        return Counted(ids, counts | "Doubt" >> beam.Map(lambda part: doubt_items(part[1])))


def count_items(sessions: pa.RecordBatch, partitions: int) -> Iterator[tuple[int, pa.Table]]:
    """Count the items of a batch, by part of all items."""
    counts = vocabulary.count_items(batch_to_sessions(sessions).items, batch_item_ids(sessions))
    # Different spellings of an id go to one part, where they are compared.
    part = stable_hash(normalise_ids(counts["item"].combine_chunks())) % np.uint64(partitions)
    for index in np.unique(part):
        yield int(index), counts.filter(pa.array(part == index))


def retain_frequent(part: tuple[int, pa.Table], settings: Settings) -> pa.Table:
    """Retain the frequent items of a part of all items."""
    return vocabulary.retain_frequent(part[1], settings)


def select_items(counts: pa.Table, settings: Settings) -> pa.StringArray:
    """Select and sort the ids of the frequent items."""
    return vocabulary.frequent_items([counts], settings)


class FilterItems(beam.PTransform):
    """Drops rare items, repeats and short sessions; batches become `Filtered`.

    Args:
      settings: The protocol.
      items: The sorted ids of the frequent items, which the items become indices into.
    """

    def __init__(self, settings: Settings, items: PCollection) -> None:
        super().__init__()
        self.settings, self.items = settings, items

    def expand(self, sessions: PCollection) -> Filtered:
        """Add the steps."""
        filtered = sessions | "Filter" >> beam.FlatMap(
            filter_sessions, self.settings, AsSingleton(self.items)
        ).with_outputs("clicks left", main="sessions")
        return Filtered(filtered["sessions"], _add_clicks_left(filtered["clicks left"]))


def filter_sessions(
    sessions: pa.RecordBatch, settings: Settings, items: pa.StringArray
) -> Iterator[pa.RecordBatch | _ClicksLeft]:
    """Filter the sessions of a batch."""
    grouped, ids = batch_to_sessions(sessions), batch_item_ids(sessions)
    filtered, left = protocol.filter_sessions(grouped, ids, items, settings)
    yield TaggedOutput("clicks left", _counted(left))
    if len(filtered):
        yield sessions_to_batch(filtered)


def _counted(clicks_left: dict[str, int]) -> dict[str, int]:
    """Return the clicks that filters left, after adding them to the pipeline's counters."""
    for name, clicks in clicks_left.items():
        count(f"clicks {name}", clicks)
    return clicks_left
