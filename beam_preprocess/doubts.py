"""Warnings about what a log holds that may not be what its user means."""

import dataclasses
import datetime
import zoneinfo
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from beam_preprocess.columns import Findings
from beam_preprocess.formats import LogFormat
from beam_preprocess.read import RawLog, line_number
from beam_preprocess.settings import Settings
from beam_preprocess.spellings import Spellings, find_spellings
from hln_tf.data.parts import DAY
from hln_tf.data.times import SECOND


@dataclasses.dataclass(frozen=True)
class Doubts:
    """The ids and sessions of a log that may not be what its user means.

    Attributes:
      long_sessions: Number of sessions of more than a day, where the log names them.
      longest: Length in seconds and id of the longest one.
      spellings: Ids of items and of sessions or users that are written in several ways.
    """

    long_sessions: int = 0
    longest: tuple[int, str] = (0, "")
    spellings: Mapping[str, Spellings] = dataclasses.field(default_factory=dict)

    def __add__(self, other: "Doubts") -> "Doubts":
        names = sorted({*self.spellings, *other.spellings})
        both = {
            name: self.spellings.get(name, Spellings()) + other.spellings.get(name, Spellings())
            for name in names
        }
        longest = max(self.longest, other.longest)
        return Doubts(self.long_sessions + other.long_sessions, longest, both)

    def description(self) -> dict[str, Any]:
        """Return the counts as stats.json has them."""
        spellings = {name: found.description() for name, found in self.spellings.items()}
        return {"sessions_longer_than_a_day": self.long_sessions, "several_spellings": spellings}

    def warnings(self) -> list[str]:
        """Describe what is doubtful, one sentence for each kind."""
        warnings = []
        for name, found in self.spellings.items():
            if found.ids:
                ways = (
                    f"{spelling!r} ({clicks:,} clicks)" for spelling, clicks in found.examples[0]
                )
                warnings.append(
                    f"{found.ids:,} {name} ids are written in several ways, such as "
                    f"{', '.join(ways)}, and count as different ones: write each in one way"
                )
        if self.long_sessions:
            seconds, session = self.longest
            warnings.append(
                f"{self.long_sessions:,} sessions last longer than a day, the longest, "
                f"{session!r}, {seconds / DAY:,.0f} days: if ids of sessions come again, set "
                "session_timeout, such as 1800, the seconds of inactivity that end a session"
            )
        return warnings


def doubt_sessions(sessions: pa.DictionaryArray, times: np.ndarray, settings: Settings) -> Doubts:
    """Find doubtful sessions of a partition, which has all clicks of its sessions.

    Args:
      sessions: Session or user id of each click.
      times: Microseconds since 1970 UTC, int64 [clicks].
      settings: The protocol.
    """
    log, ids, index = settings.log_format, sessions.dictionary, sessions.indices.to_numpy()
    clicks = np.bincount(index, minlength=len(ids))
    spellings = {"session" if log.session else "user": find_spellings(ids, clicks)}
    if log.user or settings.session_timeout or not settings.log:  # or a published protocol
        return Doubts(spellings=spellings)
    first, last = np.full(len(ids), np.iinfo(np.int64).max), np.zeros(len(ids), np.int64)
    np.minimum.at(first, index, times)
    np.maximum.at(last, index, times)
    lengths = np.maximum(last - first, 0) // SECOND
    if not len(ids):
        return Doubts()
    longest = max(
        (int(lengths.max()), ids[row].as_py()) for row in np.flatnonzero(lengths == lengths.max())
    )
    return Doubts(int((lengths > DAY).sum()), longest, spellings)


def doubt_items(counts: pa.Table) -> Doubts:
    """Find doubtful ids of items.

    Args:
      counts: Columns `item` and `count` of all items that may be spellings of one.
    """
    ids = counts["item"].combine_chunks()
    return Doubts(spellings={"item": find_spellings(ids, counts["count"].to_numpy())})


def describe_selection(findings: Findings, rows: int, log: LogFormat) -> dict[str, int]:
    """List the rows that conditions and missing values left, in the order of these filters.

    Args:
      findings: Those of all rows.
      rows: Number of rows that are not malformed.
      log: The format of the log.
    """
    left = {}
    if log.where:
        rows -= findings.skipped
        left[f"where {' and '.join(log.where)}"] = rows
    if findings.missing:
        rows -= sum(findings.missing.values())
        left["with ids and a time"] = rows
    return left


def explain_no_selection(findings: Findings, selected: Mapping[str, int], log: LogFormat) -> str:
    """Explain why conditions and missing values left no row; empty where there are some.

    Args:
      findings: Those of all rows.
      selected: The rows that they left, from `describe_selection`.
      log: The format of the log.
    """
    if all(selected.values()):
        return ""
    if log.where and not next(iter(selected.values())):
        found = (
            f"the column {name!r} has {', '.join(map(repr, values)) or 'no value'}"
            for name, values in findings.values.items()
        )
        return (
            f"no row is left {next(iter(selected))}: {' and '.join(found)}, at first; correct "
            "`where`"
        )
    counts = (f"{count:,} without {name!r}" for name, count in findings.missing.items())
    return (
        f"no row has ids and a time, {', '.join(counts)}: name other columns, or set `missing`, "
        "the values that mean none"
    )


def warn_of_rows(findings: Findings, raw: RawLog, log: LogFormat) -> list[str]:
    """Describe rows that are left out or doubtful, one sentence for each kind.

    Args:
      findings: Those of all rows.
      raw: The files.
      log: The format of the log.
    """
    warnings = []
    if findings.missing:
        counts = (f"{count:,} without {name!r}" for name, count in findings.missing.items())
        warnings.append(
            f"rows that lack a value are left out: {', '.join(counts)} "
            "(missing in the spec lists the values that mean none)"
        )
    if findings.ambiguous:
        zone = zoneinfo.ZoneInfo(log.time_zone)
        moment = datetime.datetime.fromtimestamp(findings.first_ambiguous // SECOND, zone)
        warnings.append(
            f"{findings.ambiguous:,} times are ambiguous, since clocks are put back in "
            f"{log.time_zone}, the first {moment:%Y-%m-%d %H:%M:%S}: they count as the earlier "
            "time; log times in UTC, or with an offset, to be exact"
        )
    if first := findings.first_long_row:
        file = raw.files[first.file]
        begin = line_number(file, first.offset) + first.line
        warnings.append(
            f"{findings.long_rows:,} rows have a quoted field of many lines, or of lines that look "
            f"like rows, the first {file.path}, lines {begin} to {begin + first.lines - 1}: if "
            "a quote there is stray, fix it, or set quotes: false in the spec"
        )
    return warnings
