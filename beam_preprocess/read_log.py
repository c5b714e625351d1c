"""The transform `ReadLog`: raw files to batches of clicks and the counts of their rows."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput

from beam_preprocess import scan
from beam_preprocess.combiners import AddRowCounts
from beam_preprocess.progress import Progress, count
from beam_preprocess.read import LogFile, Part
from beam_preprocess.rows import partition_sessions
from beam_preprocess.scan import RowCounts
from beam_preprocess.settings import Settings, Work
from beam_preprocess.stats import check_rows


class Log(NamedTuple):
    """The content of a log.

    Attributes:
      clicks: `(partition, batch of clicks)`; a session is in one partition.
      rows: One `Rows`: counts, malformed rows, and why the log cannot be used if it
        cannot.
    """

    clicks: PCollection
    rows: PCollection


class ReadLog(beam.PTransform):
    """Reads raw files in parts; a pipeline becomes a `Log`.

    Args:
      files: The raw files.
      settings: The format and the time window.
      work: How to divide the work.
      progress: Counts what was read.
    """

    def __init__(
        self, files: Sequence[LogFile], settings: Settings, work: Work, progress: Progress
    ) -> None:
        super().__init__()
        self.files, self.settings, self.work, self.progress = files, settings, work, progress

    def expand(self, pipeline: beam.Pipeline) -> Log:
        """Add the steps."""
        read = (
            pipeline
            | "Parts" >> beam.Create(scan.cut(self.files, self.work.block_bytes))
            | "Spread" >> beam.Reshuffle()
            | "Read"
            >> beam.FlatMap(read_part, self.settings, self.work, self.progress).with_outputs(
                "rows", main="clicks"
            )
        )
        rows = (
            read["rows"]
            | "AddRowCounts" >> beam.CombineGlobally(AddRowCounts()).without_defaults()
            | "CheckRows" >> beam.Map(check_rows, self.files, self.settings)
        )
        return Log(read["clicks"], rows)


def read_part(
    part: Part, settings: Settings, work: Work, progress: Progress
) -> Iterator[tuple[int, pa.RecordBatch] | TaggedOutput[Literal["rows"], RowCounts]]:
    """Read a part of a file: its clicks by partition, and the counts of each block."""
    for counts, raw_bytes, clicks in scan.scan(part, settings, work):
        progress.counts.add("read", raw_bytes, counts.rows)
        count("rows", counts.rows + counts.malformed)
        count("malformed rows", counts.malformed)
        yield TaggedOutput("rows", counts)
        if clicks is not None:
            yield from partition_sessions(clicks, work.partitions)
