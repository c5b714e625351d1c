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
from beam_preprocess.progress import Progress, count
from beam_preprocess.rows import merge_partition, stable_hash
from beam_preprocess.settings import Settings
from beam_preprocess.stats import Rows
from hln_tf.data import protocol, vocabulary

_ClicksLeft = TaggedOutput[Literal["clicks left"], dict[str, int]]
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


class _Filter(beam.PTransform):
    """A step from batches to batches and to the clicks that it left, which are added up."""

    def _split(self, both: beam.pvalue.DoOutputsTuple) -> Filtered:
        add = beam.CombineGlobally(AddNamedCounts()).without_defaults()
        left = both["clicks left"] | "AddClicksLeft" >> add
        return Filtered(both["sessions"], left)


class GroupSessions(_Filter):
    """Groups clicks by session; `(partition, clicks)` become `Filtered` with item ids.

    Args:
      settings: The protocol.
      rows: The counts of the rows; of a log that cannot be used nothing is grouped.
      progress: Notes the stage.
    """

    def __init__(self, settings: Settings, rows: PCollection, progress: Progress) -> None:
        super().__init__()
        self.settings, self.rows, self.progress = settings, rows, progress

    def expand(self, clicks: PCollection) -> Filtered:
        """Add the steps."""
        return self._split(
            clicks
            | "ByPartition" >> beam.GroupByKey()
            | "Group"
            >> beam.FlatMap(
                group_sessions, self.settings, AsSingleton(self.rows), self.progress
            ).with_outputs("clicks left", main="sessions")
        )


def group_sessions(
    clicks: tuple[int, Iterable[pa.RecordBatch]],
    settings: Settings,
    rows: Rows,
    progress: Progress,
) -> Iterator[pa.RecordBatch | _ClicksLeft]:
    """Group the clicks of a partition."""
    if rows.problem:
        return
    progress.counts.add("group sessions")
    merged = merge_partition(clicks[1])
    grouped, ids = protocol.group_clicks(
        merged["session"],
        merged["time"],
        merged["item"],
        merged["position"].to_numpy(),
        settings,
    )
    grouped, left = protocol.drop_short_sessions(grouped, settings)
    yield TaggedOutput("clicks left", {ARRIVED: merged.num_rows, **_counted(left)})
    yield sessions_to_batch(grouped, ids)


class CountItems(beam.PTransform):
    """Counts items; batches of sessions become one array, the sorted ids of the frequent items.

    Counts are added up by parts of all items; only the items that are left, the vocabulary,
    come together in one worker.

    Args:
      settings: The protocol.
      partitions: Number of parts.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        super().__init__()
        self.settings, self.partitions = settings, partitions

    def expand(self, sessions: PCollection) -> PCollection:
        """Add the steps."""
        return (
            sessions
            | "Count" >> beam.FlatMap(count_items, self.partitions)
            | "Add" >> beam.CombinePerKey(AddItemCounts())
            | "RetainFrequent" >> beam.Map(retain_frequent, self.settings)
            | "List" >> beam.CombineGlobally(AddItemCounts())
            | "Select" >> beam.Map(select_items, self.settings)
        )


def count_items(sessions: pa.RecordBatch, partitions: int) -> Iterator[tuple[int, pa.Table]]:
    """Count the items of a batch, by part of all items."""
    counts = vocabulary.count_items(batch_to_sessions(sessions).items, batch_item_ids(sessions))
    part = stable_hash(counts["item"].combine_chunks()) % np.uint64(partitions)
    for index in np.unique(part):
        yield int(index), counts.filter(pa.array(part == index))


def retain_frequent(part: tuple[int, pa.Table], settings: Settings) -> pa.Table:
    """Retain the frequent items of a part of all items."""
    return vocabulary.retain_frequent(part[1], settings)


def select_items(counts: pa.Table, settings: Settings) -> pa.StringArray:
    """Select and sort the ids of the frequent items."""
    return vocabulary.frequent_items([counts], settings)


class FilterItems(_Filter):
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
        return self._split(
            sessions
            | "Filter"
            >> beam.FlatMap(filter_sessions, self.settings, AsSingleton(self.items)).with_outputs(
                "clicks left", main="sessions"
            )
        )


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
