"""The outcome of a run: warnings, the vocabulary and stats.json, or why there is no data set."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from beam_preprocess import storage
from beam_preprocess.columns import Findings
from beam_preprocess.datasets import CUSTOM
from beam_preprocess.doubts import Doubts, describe_selection, explain_no_selection, warn_of_rows
from beam_preprocess.inputs import describe_files
from beam_preprocess.read import LogFile, RawLog, line_number
from beam_preprocess.scan import MalformedRow, RowCounts
from beam_preprocess.settings import Settings
from beam_preprocess.splits import Ranges, Span
from beam_preprocess.write import Shard
from hln_tf.common.errors import HlnError
from hln_tf.common.files import join
from hln_tf.data.boundaries import count_share
from hln_tf.data.layout import SPLITS, STATS, VOCABULARY, vocabulary_text
from hln_tf.data.parts import (
    BUCKETS,
    DAY,
    PartShape,
    check_parts,
    utc,
    warn_of_parts,
    warn_of_whole_days,
)
from hln_tf.data.protocol import explain_nothing_left
from hln_tf.data.vocabulary import list_item_ids

PROBLEM = "problem.json"  # instead of a data set
# A catalogue this small in a log this large is likely another column's values.
_FEW_ITEMS, _MANY_CLICKS = 20, 500
_NEARLY_EMPTY = 0.1  # of the median day's clicks


@dataclasses.dataclass(frozen=True)
class Rows:
    """The counts of the rows of all files.

    Attributes:
      read: Number of rows.
      malformed: Number of malformed ones.
      first_malformed: File, line number and text of the first malformed rows.
      selected: Rows that conditions and missing values left, by description.
      clicks: Number of clicks inside the time window.
      findings: Rows that were left out, and the doubtful ones.
      warnings: One sentence each.
      problem: Why the log cannot be used, one sentence, or empty.
    """

    read: int
    malformed: int
    first_malformed: list[dict[str, Any]]
    selected: dict[str, int]
    clicks: int
    findings: Findings
    warnings: list[str]
    problem: str


def check_rows(counts: RowCounts, log: RawLog, settings: Settings) -> Rows:
    """Check that the log can be used and warn about what it lacks.

    Args:
      counts: Counts of all rows.
      log: The raw files.
      settings: The protocol.
    """
    read = counts.read
    problem = counts.problem.message if counts.problem else ""
    first: list[dict[str, Any]] = []
    warnings = _empty_files(log)
    if counts.malformed and not problem:
        first = [_locate(row, log.files[row.file]) for row in counts.first_malformed]
        file = log.files[counts.first_malformed[0].file]
        unit = "row" if file.schema.log.format == "parquet" else "line"
        message = (
            f"{counts.malformed:,} of {read:,} rows are malformed, first {file.path}, "
            f"{unit} {first[0]['line']}: {first[0]['content']!r}; "
            f"{file.schema.explain(counts.first_malformed[0].hint)}"
        )
        if counts.malformed > settings.max_malformed * read:
            problem = (
                f"{message}; fix the file, or raise --max_malformed "
                f"(now {settings.max_malformed}) to leave them out"
            )
        warnings.append(f"left out: {message}")
    warnings += warn_of_rows(counts.findings, log, settings.log_format)
    warnings += _nearly_empty_days(counts, settings)
    selected = describe_selection(counts.findings, read - counts.malformed, settings.log_format)
    findings = counts.findings
    problem = problem or explain_no_selection(findings, selected, settings.log_format)
    return Rows(read, counts.malformed, first, selected, counts.clicks, findings, warnings, problem)


def _empty_files(log: RawLog) -> list[str]:
    if not log.empty:
        return []
    total = len(log.files) + len(log.empty)
    return [f"{len(log.empty)} of {total} files have no row: {describe_files(log.empty)}"]


def _locate(row: MalformedRow, file: LogFile) -> dict[str, Any]:
    line = line_number(file, row.offset) + row.line
    return {"file": file.name, "line": line, "content": row.text}


def _nearly_empty_days(counts: RowCounts, settings: Settings) -> list[str]:
    """Warn when the window's last days, which become the test part, are nearly empty."""
    window, clicks = settings.window(), counts.days
    if not window or not clicks:
        return []
    usual = float(np.median(list(clicks.values())))
    last = end = window[1] // 86_400
    while clicks.get(last - 1, 0) < _NEARLY_EMPTY * usual:
        last -= 1
    if last == end:
        return []
    return [
        f"the last {end - last} day(s) of the time window, from {_day(last * 86_400)} to "
        f"{settings.window_end}, hold less than {_NEARLY_EMPTY:.0%} of a usual day's clicks "
        f"({usual:,.0f}): if the log ends earlier, set --window_end {_day((last - 1) * 86_400)}"
    ]


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """The counts of a split, or of some shards of it.

    Attributes:
      files: Paths of its shards.
      shape: Its counts and dates.
      targets: How often each item is the target of an example, by item; items
        that occur and never are one have 0. int64 [2, items]: items and counts.
    """

    files: tuple[str, ...] = ()
    shape: PartShape = dataclasses.field(default_factory=PartShape)
    targets: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((2, 0), np.int64))

    def __add__(self, other: "SplitCounts") -> "SplitCounts":
        items, index = np.unique(
            np.concatenate([self.targets[0], other.targets[0]]), return_inverse=True
        )
        counts = np.zeros(len(items), np.int64)
        np.add.at(counts, index, np.concatenate([self.targets[1], other.targets[1]]))
        return SplitCounts(
            tuple(sorted((*self.files, *other.files))),
            self.shape + other.shape,
            np.stack([items, counts]),
        )

    @property
    def items(self) -> np.ndarray:
        """The items that occur and have an index, sorted, int64 [items]."""
        return self.targets[0][self.targets[0] > 0]

    def unseen(self, seen: "SplitCounts") -> int:
        """Count the targets on items that another split lacks."""
        return int(self.targets[1][~np.isin(self.targets[0], seen.items)].sum())

    def description(self) -> dict[str, int | str]:
        """Return the counts as stats.json has them."""
        return {
            "sessions": self.shape.sessions,
            "clicks": self.shape.clicks,
            "items": len(self.items),
            "prefixes": self.shape.prefixes,
            "first": utc(self.shape.first),
            "last": utc(self.shape.last),
        }


@dataclasses.dataclass(frozen=True)
class DatasetCounts:
    """The counts of the files of a data set, and the problems with them.

    Attributes:
      splits: The counts of each split.
      problems: One sentence for each file that could not be written, sorted.
    """

    splits: dict[str, SplitCounts] = dataclasses.field(
        default_factory=lambda: {split: SplitCounts() for split in SPLITS}
    )
    problems: tuple[str, ...] = ()

    def __add__(self, other: "DatasetCounts") -> "DatasetCounts":
        both = {split: self.splits[split] + other.splits[split] for split in SPLITS}
        return DatasetCounts(both, tuple(sorted((*self.problems, *other.problems))))


class AddShards(beam.CombineFn):
    """Adds up what was written to shards, and what could not be."""

    def create_accumulator(self) -> DatasetCounts:
        """Return empty splits."""
        return DatasetCounts()

    def add_input(self, counts: DatasetCounts, shard: Shard | str) -> DatasetCounts:
        """Add a shard, or the problem with one."""
        if isinstance(shard, str):
            return counts + DatasetCounts(problems=(shard,))
        targets = np.stack([shard.items.astype(np.int64), shard.targets])
        one = SplitCounts((shard.file,), shard.shape, targets)
        return counts + DatasetCounts({**DatasetCounts().splits, shard.split: one})

    def merge_accumulators(self, several: Iterable[DatasetCounts]) -> DatasetCounts:
        """Add all counts."""
        return sum(several, DatasetCounts())

    def extract_output(self, counts: DatasetCounts) -> DatasetCounts:
        """Return the counts."""
        return counts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The values of a run when all shards are written.

    Attributes:
      settings: What was to be written.
      counts: The shards.
      rows: The counts of the rows.
      arrived: Number of clicks that were grouped.
      grouped: The clicks that the filters before the count of items left.
      filtered: The clicks that the filters after it left.
      items: The ids of the frequent items.
      doubts: The doubts about ids and sessions.
      span: The dates of the sessions; None where there is no session.
      indices: The item index of each frequent item, int32 [items]; 0: none.
      ranges: The ranges of dates of each part.
      without_index: Counts of test clicks on items that full train lacks.
    """

    settings: Settings
    counts: DatasetCounts
    rows: Rows
    arrived: int
    grouped: dict[str, int]
    filtered: dict[str, int]
    items: pa.StringArray
    doubts: Doubts
    span: Span | None
    indices: np.ndarray
    ranges: Mapping[str, Ranges]
    without_index: Mapping[str, int]

    def clicks_left(self) -> dict[str, int]:
        """Return the clicks that each filter left, in order of the filters."""
        left = {"read": self.rows.read - self.rows.malformed, **self.rows.selected}
        if self.settings.window():
            left["in the time window"] = self.rows.clicks
        return left | self.grouped | self.filtered

    def lost(self) -> str:
        """Return what an engine has lost or repeated on the way, one sentence, or an empty text.

        What is compared are clicks before and after each exchange between workers.
        """
        of = {split: self.ranges.get(split, Ranges.empty()) for split in SPLITS}
        written = {split: counts.shape for split, counts in self.counts.splits.items()}
        examples = count_share(
            of["train"].clicks - of["train"].sessions, self.settings.train_fraction
        )
        examples += of["validation"].clicks - of["validation"].sessions
        found = {
            "clicks to group": (self.rows.clicks, self.arrived),
            "train examples to write": (
                examples,
                written["train"].prefixes + written["validation"].prefixes,
            ),
            "test clicks to write": (of["test"].clicks, written["test"].clicks),
        }
        for what, (expected, actual) in found.items():
            if expected != actual:
                return (
                    f"Beam's runner has handed on {actual:,} of {expected:,} {what}: "
                    "run the same command again, or choose another runner of Beam"
                )
        return ""

    def problem(self) -> str:
        """Return why there is no data set, one sentence, or an empty text."""
        if self.rows.problem:
            return self.rows.problem
        if self.span is None:
            return explain_nothing_left(self.clicks_left())
        if self.counts.problems:
            return self.counts.problems[0]
        if lost := self.lost():
            return lost
        sessions = {name: split.shape.sessions for name, split in self.counts.splits.items()}
        try:
            check_parts(sessions, self.settings.has_validation)
        except HlnError as error:
            return str(error)
        return ""

    def stats(self) -> dict[str, Any]:
        """Return the content of stats.json: the counts of every part and all settings."""
        written, span = self.counts.splits, self.span
        assert span is not None, "there are sessions"
        train_all, test = written["train"] + written["validation"], written["test"]
        full = [self.ranges[part] for part in ("train", "validation") if part in self.ranges]
        sessions, clicks = sum(part.sessions for part in full), sum(part.clicks for part in full)
        items = int(self.indices.max(initial=0))
        counts = sum((part.counts for part in self.ranges.values()), np.zeros(BUCKETS, np.int64))
        shapes = {name: split.shape for name, split in written.items()}
        return {
            "dataset": self.settings.dataset,
            "items": items,
            "rows": self.rows.read,
            "malformed_rows": self.rows.malformed,
            "first_malformed_rows": self.rows.first_malformed,
            **self.rows.findings.description(),
            **self.doubts.description(),
            "clicks_left": self.clicks_left(),
            "full_train": {
                "sessions": sessions,
                "clicks": clicks,
                "items": items,
                "prefixes": clicks - sessions,
            },
            "train_all": train_all.description(),
            **{split: written[split].description() for split in SPLITS},
            "test_without_index": dict(self.without_index),
            "unseen_test_targets": test.unseen(train_all),
            "unseen_test_targets_of_train": test.unseen(written["train"]),
            "warnings": [
                *self.rows.warnings,
                *self.doubts.warnings(),
                *warn_of_parts(shapes, counts, span.first, span.last),
                *self._warn_of_settings(shapes, items),
            ],
            "files": {split: list(written[split].files) for split in SPLITS},
            "settings": self.settings.description(),
        }

    def _warn_of_settings(self, shapes: Mapping[str, PartShape], items: int) -> list[str]:
        """Describe what settings of a custom log are unlikely to mean."""
        settings = self.settings
        if settings.dataset != CUSTOM:
            return []
        log = settings.log_format
        by_time = settings.test_begin() is None and settings.test_fraction == "0"
        seconds = settings.test_seconds if by_time and not settings.part_files else None
        warnings = warn_of_whole_days(shapes, seconds, bool(log.rank or log.time_added))
        if settings.session_timeout > DAY:
            warnings.append(
                f"`session_timeout` is {settings.session_timeout:,} seconds, more than a day: give "
                f"seconds, such as 1800 for half an hour"
            )
        clicks = sum(shape.clicks for shape in shapes.values())
        if items < _FEW_ITEMS and clicks >= _MANY_CLICKS:
            warnings.append(
                f"the log has {items} items, so that any model finds the next one among 20: is "
                f"`item` the column of the item?"
            )
        return warnings


def write_outcome(directory: str, outcome: Outcome) -> None:
    """Write vocabulary.txt and stats.json, or problem.json."""
    problem = outcome.problem()
    if not problem:
        text = vocabulary_text(list_item_ids(outcome.items, outcome.indices))
        with storage.create_file(join(directory, VOCABULARY), directory) as file:
            file.write(text)
        storage.write_json(join(directory, STATS), directory, outcome.stats())
        return
    storage.write_json(join(directory, PROBLEM), directory, {"problem": problem})


def _day(seconds: int) -> str:
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())
