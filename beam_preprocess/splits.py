"""The order by date and exact cuts in it, of sessions that are distributed.

Sessions are ordered by (date, first appearance), but never all in one process: each
part of the data counts its sessions and examples per period of time, and the sums of
the counts determine which sessions of each period are retained.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from hln_tf.data.protocol import Boundary, count_share, find_test_boundary
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import SessionColumns, select, slice_sessions

BUCKETS = 4096  # periods of equal time in which sessions are counted
RANGES = 32  # periods of about as many examples, each sorted in one process


@dataclasses.dataclass(frozen=True)
class Span:
    """The dates of all sessions, and those that separate test from train.

    Attributes:
      first: Date of the first session.
      last: Date of the last session.
      boundary: The boundary between train and test.
    """

    first: int
    last: int
    boundary: Boundary


def find_span(first: int, last: int, settings: ProtocolSettings) -> Span:
    """Find the span of all sessions.

    Args:
      first: Date of the first session.
      last: Date of the last session.
      settings: The protocol.
    """
    return Span(first, last, find_test_boundary(last, settings))


def buckets(dates: np.ndarray, span: Span) -> np.ndarray:
    """Compute the bucket of each date, int64 [sessions], from 0 to `BUCKETS - 1`."""
    return (dates - span.first) * BUCKETS // (span.last - span.first + 1)


def histogram(sessions: SessionColumns, span: Span) -> np.ndarray:
    """Count sessions and clicks in each bucket, int64 [2, BUCKETS]."""
    bucket = buckets(sessions.dates, span)
    clicks = np.zeros(BUCKETS, np.int64)
    np.add.at(clicks, bucket, sessions.lengths)
    return np.stack([np.bincount(bucket, minlength=BUCKETS), clicks])


@dataclasses.dataclass(frozen=True)
class Ranges:
    """The ranges of time into which the sessions of train or test are cut.

    Attributes:
      of_bucket: Range of each bucket, int64 [BUCKETS]; -1: all of it is dropped.
      quota: Number of latest examples that each range retains, int64 [RANGES].
      sessions: Sessions of the part, those that are dropped included.
      clicks: Their clicks.
    """

    of_bucket: np.ndarray
    quota: np.ndarray
    sessions: int
    clicks: int

    @classmethod
    def empty(cls) -> "Ranges":
        """Return the ranges of no sessions."""
        return plan_ranges(np.zeros((2, BUCKETS), np.int64), "1")


def plan_ranges(counts: np.ndarray, fraction: str) -> Ranges:
    """Plan ranges of about equal size for the last `fraction` of the examples.

    Args:
      counts: Sum of the histograms, int64 [2, BUCKETS].
      fraction: This last part of the examples is retained.
    """
    examples = counts[1] - counts[0]
    retained = count_share(int(examples.sum()), fraction)
    after = examples[::-1].cumsum()[::-1] - examples
    of_bucket = np.where(
        after < retained,
        np.minimum((retained - after - 1) * RANGES // max(retained, 1), RANGES - 1),
        -1,
    )
    in_range = np.bincount(of_bucket[of_bucket >= 0], examples[of_bucket >= 0], RANGES)
    in_range = in_range.astype(np.int64)
    quota = retained - (in_range[::-1].cumsum()[::-1] - in_range)
    return Ranges(of_bucket, quota, int(counts[0].sum()), int(counts[1].sum()))


def split_into_ranges(
    sessions: SessionColumns, span: Span, ranges: Ranges
) -> Iterator[tuple[int, SessionColumns]]:
    """Yield the index and the sessions of each range, without those before the first range."""
    of_session = ranges.of_bucket[buckets(sessions.dates, span)]
    for index in np.unique(of_session[of_session >= 0]):
        yield int(index), select(sessions, of_session == index)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The ranks of sessions in order of date, and the cuts into splits and shards.

    Attributes:
      first: Rank of the first session of each (part, range).
      train: Number of train sessions before the validation part begins.
      sessions: Number of sessions of each split.
      shards: Number of files of each split.
    """

    first: dict[tuple[str, int], int]
    train: int
    sessions: dict[str, int]
    shards: dict[str, int]


def rank(counts: Mapping[tuple[str, int], int], validation: str, shards: int) -> Ranks:
    """Rank sessions by the number of sessions of each (part, range)."""
    total = {"train": 0, "test": 0}
    first = {}
    for (part, index), count in sorted(counts.items()):
        first[part, index] = total[part]
        total[part] += count
    validation_sessions = count_share(total["train"], validation)
    sessions = {
        "train": total["train"] - validation_sessions,
        "validation": validation_sessions,
        "test": total["test"],
    }
    files = {name: min(shards, count) for name, count in sessions.items()}
    return Ranks(first, sessions["train"], sessions, files)


def split_into_shards(
    part: str, index: int, sessions: SessionColumns, ranks: Ranks
) -> Iterator[tuple[str, int, int, SessionColumns]]:
    """Cut the sessions of a range, in order, into pieces of shards of equal size.

    Yields:
      Split, shard, rank of the piece's first session within the split, and
      the piece.
    """
    start = ranks.first[part, index]
    end = start + len(sessions)
    if part == "train":
        pieces = [("train", 0), ("validation", ranks.train)]
    else:
        pieces = [(part, 0)]
    for split, base in pieces:
        count, shards = ranks.sessions[split], ranks.shards[split]
        for shard in range(shards):
            low = max(start, base + count * shard // shards)
            high = min(end, base + count * (shard + 1) // shards)
            if low < high:
                yield split, shard, low - base, slice_sessions(sessions, low - start, high - start)
