"""The transform `WriteDataset`: sessions in order of date, cut, and written in shards."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsDict, AsSingleton, PCollection

from beam_preprocess import splits
from beam_preprocess.batches import batch_to_sessions, sessions_to_batch
from beam_preprocess.combiners import AddArrays
from beam_preprocess.filter_items import ARRIVED
from beam_preprocess.progress import Progress
from beam_preprocess.settings import Settings
from beam_preprocess.splits import Ranges, Span
from beam_preprocess.stats import AddShards, DatasetCounts, Outcome, write_outcome
from beam_preprocess.write import Shard, UnwritableError, write_shard
from hln_tf.data.protocol import select_latest_examples
from hln_tf.data.session_columns import concatenate, sort_by_date

_Range = tuple[str, int]  # the part, and the index of a range of dates


@dataclasses.dataclass(frozen=True)
class Facts:
    """Values of the steps before that are written with the sessions, each as a side input.

    Attributes:
      rows: The counts of the rows.
      grouped: The clicks that the filters before the count of items left.
      filtered: The clicks that the filters after it left.
      items: The ids of the frequent items.
      doubts: The doubts about ids and sessions.
      span: The dates of the sessions.
      indices: The item index of each frequent item.
      without_index: Counts of test clicks on items that full train lacks.
    """

    rows: AsSingleton
    grouped: AsSingleton
    filtered: AsSingleton
    items: AsSingleton
    doubts: AsSingleton
    span: AsSingleton
    indices: AsSingleton
    without_index: AsSingleton


class WriteDataset(beam.PTransform):
    """Writes a data set directory but for its manifest from `(part, batch of sessions)`.

    Dates are cut into ranges of about as many examples; the sessions of a range are sorted
    in one worker, and counts of all ranges say which shard each session belongs to.

    Args:
      directory: Where to write.
      settings: What to write.
      facts: Values of the steps before.
      progress: Notes the stage.
    """

    def __init__(
        self, directory: str, settings: Settings, facts: Facts, progress: Progress
    ) -> None:
        super().__init__()
        self.directory, self.settings = directory, settings
        self.facts, self.progress = facts, progress

    def expand(self, sessions: PCollection) -> PCollection:
        """Add the steps."""
        span = self.facts.span
        ranges = AsDict(
            sessions
            | "CountDates" >> beam.Map(count_dates, span)
            | "AddDates" >> beam.CombinePerKey(AddArrays())
            | "PlanRanges" >> beam.Map(plan_ranges, self.settings)
        )
        ordered = (
            sessions
            | "CutIntoRanges" >> beam.FlatMap(cut_into_ranges, span, ranges)
            | "ByRange" >> beam.GroupByKey()
            | "Sort" >> beam.Map(sort, self.progress, ranges)
        )
        sizes = AsDict(ordered | "CountSessions" >> beam.Map(count_sessions))
        written = (
            ordered
            | "CutIntoShards" >> beam.FlatMap(cut_into_shards, self.settings, sizes)
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.Map(write, self.directory, self.settings, self.progress, sizes)
        )
        facts = {field.name: getattr(self.facts, field.name) for field in dataclasses.fields(Facts)}
        return (
            written
            | "AddShards" >> beam.CombineGlobally(AddShards())
            | "Finish" >> beam.Map(finish, self.directory, self.settings, ranges=ranges, **facts)
        )


def count_dates(part: tuple[str, pa.RecordBatch], span: Span) -> tuple[str, np.ndarray]:
    """Count the sessions and clicks of a batch by date."""
    name, batch = part
    return name, splits.histogram(batch_to_sessions(batch), span)


def plan_ranges(part: tuple[str, np.ndarray], settings: Settings) -> tuple[str, Ranges]:
    """Plan the ranges of a part from its counts by date."""
    name, counts = part
    return name, splits.plan_ranges(counts, settings.train_fraction if name == "train" else "1")


def cut_into_ranges(
    part: tuple[str, pa.RecordBatch], span: Span, ranges: dict[str, Ranges]
) -> Iterator[tuple[_Range, pa.RecordBatch]]:
    """Cut a batch into ranges of dates."""
    name, batch = part
    for index, piece in splits.split_into_ranges(batch_to_sessions(batch), span, ranges[name]):
        yield (name, index), sessions_to_batch(piece)


def sort(
    pieces: tuple[_Range, Iterable[pa.RecordBatch]], progress: Progress, ranges: dict[str, Ranges]
) -> tuple[_Range, pa.RecordBatch]:
    """Sort the sessions of a range and drop those before the fraction of train."""
    progress.counts.add("sort")
    (part, index), batches = pieces
    ordered = sort_by_date(concatenate([batch_to_sessions(batch) for batch in batches]))
    ordered = select_latest_examples(ordered, int(ranges[part].quota[index]))
    return (part, index), sessions_to_batch(ordered)


def count_sessions(ordered: tuple[_Range, pa.RecordBatch]) -> tuple[_Range, int]:
    """Count the sessions of a range."""
    key, batch = ordered
    return key, batch.num_rows


def cut_into_shards(
    ordered: tuple[_Range, pa.RecordBatch], settings: Settings, sizes: dict[_Range, int]
) -> Iterator[tuple[tuple[str, int], tuple[int, pa.RecordBatch]]]:
    """Cut the sessions of a range into shards: `((split, shard), (rank, batch))`."""
    (part, index), batch = ordered
    ranks = splits.rank(sizes, settings, settings.shards)
    sessions = batch_to_sessions(batch)
    for split, shard, first, piece in splits.split_into_shards(part, index, sessions, ranks):
        yield (split, shard), (first, sessions_to_batch(piece))


def write(
    pieces: tuple[tuple[str, int], Iterable[tuple[int, pa.RecordBatch]]],
    directory: str,
    settings: Settings,
    progress: Progress,
    sizes: dict[_Range, int],
) -> Shard | str:
    """Write a shard; that the disk is full is a result, since another try would find it too."""
    progress.counts.add("write")
    (split, shard), parts = pieces
    shards = splits.rank(sizes, settings, settings.shards).shards[split]
    sessions = ((first, batch_to_sessions(batch)) for first, batch in parts)
    try:
        return write_shard(directory, split, shard, shards, settings.compression, sessions)
    except UnwritableError as error:
        return str(error)


def finish(
    counts: DatasetCounts,
    directory: str,
    settings: Settings,
    grouped: dict[str, int],
    **values: Any,
) -> None:
    """Write vocabulary and statistics after all shards, or why there is no data set."""
    arrived = grouped.get(ARRIVED, 0)
    left = {name: clicks for name, clicks in grouped.items() if name != ARRIVED}
    write_outcome(directory, Outcome(settings, counts, arrived=arrived, grouped=left, **values))
