"""The shapes of a data set's parts, and checks of what is unlikely to be meant.

Counts by bucket, a period of the time between the first and the last session, add up over
workers; in memory the same functions take all sessions at once.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from hln_tf.common.errors import HlnError

BUCKETS = 4096  # periods of equal time in which sessions are counted
DAY = 86_400

# Below so many examples a metric moves by more than three percent with a single one.
FEW_EXAMPLES = 30
# The longest time without a session that is usual: of the whole time, and in any log.
HOLE_SHARE, HOLE_DAYS = 1 / 3, 2
# A session of more clicks than a person's, with more of a part's examples than one should have.
LONG_SESSION, LONG_SHARE = 100, 0.1

_REMEDIES = {
    "train": "lower `test_seconds` (or set a later `test_from`), raise `train_fraction` "
    "or give a longer log",
    "test": "raise `test_seconds` (or set an earlier `test_from`) or give a longer log",
    "validation": "raise `validation_fraction` (or `validation_days`) or give a longer log",
}


@dataclasses.dataclass(frozen=True)
class PartShape:
    """The shape of a part, or of some shards of it.

    Attributes:
      sessions: Number of sessions.
      clicks: Number of clicks.
      longest: Clicks of the longest session.
      first: Date of the first session, seconds since 1970 UTC; None without sessions.
      last: Date of the last session.
    """

    sessions: int = 0
    clicks: int = 0
    longest: int = 0
    first: int | None = None
    last: int | None = None

    @classmethod
    def from_columns(cls, lengths: np.ndarray, dates: np.ndarray) -> "PartShape":
        """Make the shape of sessions with these clicks and dates, int64 [sessions]."""
        if not len(dates):
            return cls()
        clicks, longest = int(lengths.sum()), int(lengths.max())
        return cls(len(dates), clicks, longest, int(dates.min()), int(dates.max()))

    def __add__(self, other: "PartShape") -> "PartShape":
        dates = [date for part in (self, other) for date in (part.first, part.last)]
        known = [date for date in dates if date is not None]
        return PartShape(
            self.sessions + other.sessions,
            self.clicks + other.clicks,
            max(self.longest, other.longest),
            min(known, default=None),
            max(known, default=None),
        )

    @property
    def prefixes(self) -> int:
        """Number of examples after prefix augmentation."""
        return self.clicks - self.sessions


def buckets(dates: np.ndarray, first: int, last: int) -> np.ndarray:
    """Compute the bucket of each date, int64 [sessions], from 0 to `BUCKETS - 1`.

    Args:
      dates: Seconds since 1970 UTC.
      first: Date of the first session of all.
      last: Date of the last one.
    """
    return (dates - first) * BUCKETS // (last - first + 1)


def check_parts(sessions: Mapping[str, int], has_validation: bool) -> None:
    """Check that there are sessions to train on, to choose the epoch by, and to test.

    Args:
      sessions: Number of sessions of each part.
      has_validation: Whether the protocol asks for a validation part.

    Raises:
      HlnError: A part has none.
    """
    for name, remedy in _REMEDIES.items():
        if not sessions[name] and (name != "validation" or has_validation):
            raise HlnError(f"the {name} part is empty after all filters: {remedy}")


def warn_of_parts(
    parts: Mapping[str, PartShape], counts: np.ndarray, first: int, last: int
) -> list[str]:
    """Describe what is unlikely to be meant: a hole, tiny parts, a session of too many clicks.

    Args:
      parts: The shape of each part.
      counts: Sessions of full train and test in each bucket, int64 [BUCKETS].
      first: Date of the first session of all.
      last: Date of the last one.

    Returns:
      One sentence each, which names arguments in backticks.
    """
    warnings = _warn_of_hole(counts, first, last)
    if not parts["validation"].sessions:
        warnings.append(
            "there is no validation part, by which a training chooses its epoch: set "
            "`validation_fraction` above 0 if there is to be one"
        )
    for name, part in parts.items():
        if part.sessions and part.prefixes < FEW_EXAMPLES:
            warnings.append(
                f"the {name} part is tiny, {_number(part.prefixes, 'example')} in "
                f"{_number(part.sessions, 'session')} dated {utc(part.first)} to "
                f"{utc(part.last)}: {_REMEDIES[name]}"
            )
        elif part.longest > max(LONG_SESSION, LONG_SHARE * part.prefixes):
            warnings.append(
                f"one session has {part.longest - 1:,} of the {part.prefixes:,} examples of the "
                f"{name} part, as of a bot: leave such sessions out with `max_session_length`, or "
                f"end them with `session_timeout`"
            )
    return warnings


def warn_of_whole_days(
    parts: Mapping[str, PartShape], test_seconds: int | None, is_ordered: bool
) -> list[str]:
    """Describe what dates without a time of day lead to.

    Args:
      parts: The shape of each part.
      test_seconds: The time from the last session back to the boundary; None where the
        test part begins with a day.
      is_ordered: Whether a column orders the clicks of equal times.

    Returns:
      One sentence, which names arguments in backticks, or none.
    """
    dates = [date for part in parts.values() for date in (part.first, part.last)]
    if any(date is None or date % DAY for date in dates):
        return []
    sentences = []
    if not is_ordered:
        sentences.append(
            "the clicks of a session are in order of the file: name the column of the time of day "
            "with `time_added`, or one that orders them with `rank`"
        )
    if test_seconds is not None and test_seconds % DAY == 0:
        lost = max(date for date in dates if date is not None) - test_seconds
        sentences.append(
            f"sessions of {utc(lost)[:10]}, just `test_seconds` before the last ones, are in no "
            f"part: set `test_from` {utc(lost + DAY)[:10]}"
        )
    if not sentences:
        return []
    return [f"all dates are whole days, without a time of day; {'; '.join(sentences)}"]


def _warn_of_hole(counts: np.ndarray, first: int, last: int) -> list[str]:
    """Warn of a long time without a session, as a wrong clock makes it."""
    occupied = np.flatnonzero(counts)
    if len(occupied) < 2:
        return []
    widest = int(np.argmax(np.diff(occupied)))
    seconds = last - first + 1
    # The bucket before ends, and the one after begins, at these dates.
    begin = first + -(-(int(occupied[widest]) + 1) * seconds // BUCKETS)
    end = first + -(-int(occupied[widest + 1]) * seconds // BUCKETS)
    if end - begin < max(HOLE_SHARE * seconds, HOLE_DAYS * DAY):
        return []
    before = int(counts[: occupied[widest] + 1].sum())
    after = int(counts.sum()) - before
    retained_first, retained_last = (first, begin) if before >= after else (end, last)
    months = (retained_last - retained_first) // (28 * DAY) + 1
    return [
        f"no session is dated between {utc(begin)} and {utc(end)}, {_number(before, 'session')} "
        f"before and {after:,} after: where a clock was wrong, leave the fewer ones out with "
        f"`window_months` {months} and `window_end` {utc(retained_last)[:10]}"
    ]


def utc(seconds: int | None) -> str:
    """Format a date as `2014-09-30 23:59`, UTC; nothing for None."""
    if seconds is None:
        return ""
    return str(np.datetime64(int(seconds), "s"))[:-3].replace("T", " ")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
