"""The order by date and exact cuts in it, of sessions that are distributed.

Sessions are ordered by (date, first appearance), but never all in one process: each
part of the data counts its sessions and examples per period of time, and the sums of
the counts determine which sessions of each period are retained.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from hln_tf.data.boundaries import Boundary, boundary_rank, count_share
from hln_tf.data.layout import SPLITS
from hln_tf.data.parts import BUCKETS, buckets
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import SessionColumns, select, slice_sessions

RANGES = 32  # periods of about as many examples, each sorted in one process


@dataclasses.dataclass(frozen=True)
class Span:
    """The dates of all sessions, and those that separate test from train.

    Attributes:
      first: Date of the first session.
      last: Date of the last session.
      boundary: The boundary between the parts.
    """

    first: int
    last: int
    boundary: Boundary


def histogram(sessions: SessionColumns, span: Span) -> np.ndarray:
    """Count sessions and clicks in each bucket, int64 [2, BUCKETS]."""
    bucket = buckets(sessions.dates, span.first, span.last)
    clicks = np.zeros(BUCKETS, np.int64)
    np.add.at(clicks, bucket, sessions.lengths)
    return np.stack([np.bincount(bucket, minlength=BUCKETS), clicks])


def find_bucket(counts: np.ndarray, settings: ProtocolSettings) -> tuple[int, int]:
    """Find the last train session where the test part is a fraction of the sessions.

    Args:
      counts: Sessions of each bucket, int64 [BUCKETS].
      settings: The protocol.

    Returns:
      Its bucket, and its rank by date in that.
    """
    rank = boundary_rank(int(counts.sum()), settings)
    assert rank is not None, "the test part is a fraction"
    bucket = int(np.searchsorted(np.cumsum(counts), rank, "right"))
    return bucket, rank - int(counts[:bucket].sum())


@dataclasses.dataclass(frozen=True)
class Ranges:
    """The ranges of time into which the sessions of train or test are cut.

    Attributes:
      of_bucket: Range of each bucket, int64 [BUCKETS]; -1: all of it is dropped.
      quota: Number of latest examples that each range retains, int64 [RANGES].
      counts: Sessions of each bucket, those that are dropped included, int64 [BUCKETS].
      clicks: Their clicks.
    """

    of_bucket: np.ndarray
    quota: np.ndarray
    counts: np.ndarray
    clicks: int

    @property
    def sessions(self) -> int:
        """Sessions of the part, those that are dropped included."""
        return int(self.counts.sum())

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
    return Ranges(of_bucket, quota, counts[0], int(counts[1].sum()))


def split_into_ranges(
    sessions: SessionColumns, span: Span, ranges: Ranges
) -> Iterator[tuple[int, SessionColumns]]:
    """Yield the index and the sessions of each range, without those before the first range."""
    of_session = ranges.of_bucket[buckets(sessions.dates, span.first, span.last)]
    for index in np.unique(of_session[of_session >= 0]):
        yield int(index), select(sessions, of_session == index)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The ranks of sessions in order of date, and the cuts into splits and shards.

    Attributes:
      first: Rank of the first session of each (part, range).
      train: Number of train sessions before the validation part begins; all where that
        is a part of its own.
      sessions: Number of sessions of each split.
      shards: Number of files of each split.
    """

    first: dict[tuple[str, int], int]
    train: int
    sessions: dict[str, int]
    shards: dict[str, int]


def rank(counts: Mapping[tuple[str, int], int], settings: ProtocolSettings, shards: int) -> Ranks:
    """Rank sessions by the number of sessions of each (part, range)."""
    total = dict.fromkeys(SPLITS, 0)
    first = {}
    for (part, index), count in sorted(counts.items()):
        first[part, index] = total[part]
        total[part] += count
    if settings.validation_is_fraction:
        total["validation"] = count_share(total["train"], settings.validation_fraction)
        total["train"] -= total["validation"]
    files = {name: min(shards, count) for name, count in total.items()}
    return Ranks(first, total["train"], total, files)


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
    pieces = [(part, 0)]
    if part == "train":  # and sessions of higher ranks, if any, are those of validation
        pieces.append(("validation", ranks.train))
    for split, base in pieces:
        count, shards = ranks.sessions[split], ranks.shards[split]
        for shard in range(shards):
            low = max(start, base + count * shard // shards)
            high = min(end, base + count * (shard + 1) // shards)
            if low < high:
                yield split, shard, low - base, slice_sessions(sessions, low - start, high - start)
