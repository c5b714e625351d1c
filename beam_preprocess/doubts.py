"""Warnings about what a log holds that may not be what its user means."""

import datetime
import zoneinfo

from beam_preprocess.columns import Findings
from beam_preprocess.formats import LogFormat
from beam_preprocess.read import RawLog, line_number
from hln_tf.data.times import SECOND


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
        first = datetime.datetime.fromtimestamp(findings.first_ambiguous // SECOND, zone)
        warnings.append(
            f"{findings.ambiguous:,} times are ambiguous, since clocks are put back in "
            f"{log.time_zone}, the first {first:%Y-%m-%d %H:%M:%S}: they count as the earlier "
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
