"""The transform `ReadLog`: raw files to batches of clicks and the counts of their rows."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput

from beam_preprocess import scan
from beam_preprocess.combiners import AddRowCounts
from beam_preprocess.progress import Progress, count
from beam_preprocess.read import Part, RawLog
from beam_preprocess.rows import partition_sessions
from beam_preprocess.scan import RowCounts
from beam_preprocess.settings import Settings, Work
from beam_preprocess.stats import check_rows


class Content(NamedTuple):
    """The content of a log.

    Attributes:
      clicks: `(partition, batch of clicks)`; a session is in one partition.
      rows: One `Rows`: counts, malformed rows, and why the log cannot be used if it
        cannot.
    """

    clicks: PCollection
    rows: PCollection


class ReadLog(beam.PTransform):
    """Reads raw files in parts; a pipeline becomes a `Content`.

    Args:
      log: The raw files.
      settings: The format and the time window.
      work: How to divide the work.
      progress: Counts what was read.
    """

    def __init__(self, log: RawLog, settings: Settings, work: Work, progress: Progress) -> None:
        super().__init__()
        self.log, self.settings, self.work, self.progress = log, settings, work, progress

    def expand(self, pipeline: beam.Pipeline) -> Content:
        """Add the steps."""
        read = (
            pipeline
            | "Parts" >> beam.Create(scan.cut(self.log.files, self.work.block_bytes))
            | "Spread" >> beam.Reshuffle()
            | "Read"
            >> beam.FlatMap(read_part, self.settings, self.work, self.progress).with_outputs(
                "rows", main="clicks"
            )
        )
        rows = (
            read["rows"]
            | "AddRowCounts" >> beam.CombineGlobally(AddRowCounts()).without_defaults()
            | "CheckRows" >> beam.Map(check_rows, self.log, self.settings)
        )
        return Content(read["clicks"], rows)


def read_part(
    part: Part, settings: Settings, work: Work, progress: Progress
) -> Iterator[tuple[int, pa.RecordBatch] | TaggedOutput[Literal["rows"], RowCounts]]:
    """Read a part of a file: its clicks by partition, and the counts of each block."""
    for counts, raw_bytes, clicks in scan.scan(part, settings, work):
        progress.counts.add("read", raw_bytes, counts.rows)
        count("rows", counts.read)
        count("malformed rows", counts.malformed)
        yield TaggedOutput("rows", counts)
        if clicks is not None:
            yield from partition_sessions(clicks, work.partitions)
