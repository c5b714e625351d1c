"""The transform `ReadLog`: raw files to batches of clicks and the counts of their rows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput
from apache_beam.transforms.combiners import TopCombineFn

from beam_preprocess import scan
from beam_preprocess.combiners import AddRowCounts, RowCounts
from beam_preprocess.progress import Progress, count
from beam_preprocess.read import LogFile, Part
from beam_preprocess.rows import FIRST
from beam_preprocess.scan import BlockCounts, MalformedRow, Problem
from beam_preprocess.settings import Settings, Work
from beam_preprocess.stats import Rows, check_rows

_BLOCKS, _MALFORMED, _PROBLEMS = "blocks", "malformed", "problems"


class Log(NamedTuple):
    """The content of a log.

    Attributes:
      clicks: `(partition, batch of clicks)`; a session is in one partition.
      rows: One `Rows`: the counts, and whether the log cannot be used.
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
            >> beam.FlatMap(read_part, self.settings, self.work, self.progress)
            .with_output_types(tuple[int, pa.RecordBatch])
            .with_outputs(_BLOCKS, _MALFORMED, _PROBLEMS, main="clicks")
        )
        counts = read[_BLOCKS] | "CountRows" >> beam.CombineGlobally(AddRowCounts())
        malformed = read[_MALFORMED] | "FirstMalformed" >> _first(FIRST)
        problems = read[_PROBLEMS] | "FirstProblem" >> _first(1)
        rows = counts | "CheckRows" >> beam.Map(
            check, self.files, self.settings, AsSingleton(malformed), AsSingleton(problems)
        )
        return Log(read["clicks"], rows)


def _first(count: int) -> beam.PTransform:
    return beam.CombineGlobally(TopCombineFn(count, reverse=True))


def read_part(
    part: Part, settings: Settings, work: Work, progress: Progress
) -> Iterator[tuple[int, pa.RecordBatch] | TaggedOutput]:
    """Read a part of a file; see `scan.scan` for its four kinds of results."""
    for result in scan.scan(part, settings, work):
        match result:
            case BlockCounts():
                progress.counts.add("read", result.raw_bytes, result.rows)
                count("rows", result.rows + result.malformed)
                count("malformed rows", result.malformed)
                yield TaggedOutput(_BLOCKS, result)
            case MalformedRow():
                yield TaggedOutput(_MALFORMED, result)
            case Problem():
                yield TaggedOutput(_PROBLEMS, result)
            case _:
                yield result


def check(
    counts: RowCounts,
    files: Sequence[LogFile],
    settings: Settings,
    malformed: list[MalformedRow],
    problems: list[Problem],
) -> Rows:
    """Decide whether the log can be used."""
    return check_rows(counts, malformed, problems, files, settings)
