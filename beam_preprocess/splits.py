"""The split into train and test, item indices, the order by date, and exact cuts in it.

Sessions are ordered by (date, first appearance), but never all in one process: each
part of the data counts its sessions and examples per period of time, and the sums of
the counts determine which sessions of each period are retained.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from beam_preprocess.sessions import (
    SessionColumns,
    select,
    select_clicks,
    slice_sessions,
    sort_by_date,
)
from hln_tf.common.errors import HlnError

BUCKETS = 4096  # periods of equal time in which sessions are counted
RANGES = 32  # periods of about as many examples, each sorted in one process


@dataclasses.dataclass(frozen=True)
class Span:
    """The dates of all sessions, and those that separate test from train.

    Attributes:
      first: Date of the first session.
      last: Date of the last session.
      train_end: Train is strictly before.
      test_after: Test is strictly after.
    """

    first: int
    last: int
    train_end: int
    test_after: int


def find_span(
    dates: Iterable[tuple[int, int]], test_seconds: int, test_begin: int | None = None
) -> Span:
    """Find the span of all sessions.

    Args:
      dates: First and last date of each part of the data.
      test_seconds: Train ends and test begins this long before the latest date;
        sessions of just this date are dropped, as the published protocol has it.
      test_begin: Instead of it, the first date of test; all before it is train.
    """
    first, last = zip(*dates, strict=True)
    if test_begin is not None:
        return Span(min(first), max(last), test_begin, test_begin - 1)
    boundary = max(last) - test_seconds
    return Span(min(first), max(last), boundary, boundary)


def split_train_test(sessions: SessionColumns, span: Span) -> tuple[SessionColumns, SessionColumns]:
    """Split sessions into train and test."""
    return (
        select(sessions, sessions.dates < span.train_end),
        select(sessions, sessions.dates > span.test_after),
    )


@dataclasses.dataclass(frozen=True)
class Appearances:
    """First clicks on items in order of date: the session's date and order, the click in it.

    All are arrays [items]; `item` int32, the others int64.
    """

    item: np.ndarray
    date: np.ndarray
    order: np.ndarray
    click: np.ndarray


def first_appearances(train: SessionColumns) -> Appearances:
    """Find the first appearance of each item that occurs."""
    ordered = sort_by_date(train)
    items, first = np.unique(ordered.items, return_index=True)
    session = np.searchsorted(ordered.offsets, first, "right") - 1
    return Appearances(
        items,
        ordered.dates[session],
        ordered.order[session],
        first - ordered.offsets[session],
    )


def assign_item_indices(parts: Sequence[Appearances], items: int) -> np.ndarray:
    """Assign item indices from 1 in order of first appearance, int32 [items]; 0: never."""
    item, date, order, click = (
        np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Appearances)
    )
    ordered = item[np.lexsort((click, order, date))]
    _, first = np.unique(ordered, return_index=True)
    seen = ordered[np.sort(first)]
    indices = np.zeros(items, np.int32)
    indices[seen] = np.arange(1, len(seen) + 1)
    return indices


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


def plan_ranges(counts: np.ndarray, fraction: Fraction) -> Ranges:
    """Plan ranges of about equal size for the last `fraction` of the examples.

    Args:
      counts: Sum of the histograms, int64 [2, BUCKETS].
      fraction: The last int(examples * fraction) examples are retained.
    """
    examples = counts[1] - counts[0]
    retained = int(int(examples.sum()) * fraction)
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


def select_latest_examples(sessions: SessionColumns, examples: int) -> SessionColumns:
    """Cut sessions that are in order down to their last `examples` examples.

    The examples of a session are ordered from the longest prefix to the shortest, so a
    session in which the cut falls retains its shortest prefixes: its first clicks.
    """
    of_session = sessions.lengths - 1
    after = of_session[::-1].cumsum()[::-1] - of_session
    retained = np.clip(examples - after, 0, of_session)
    position = np.arange(sessions.clicks) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    shortened = select_clicks(sessions, position <= np.repeat(retained, sessions.lengths))
    return select(shortened, retained > 0)


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


def rank(counts: Iterable[tuple[tuple[str, int], int]], validation: Fraction, shards: int) -> Ranks:
    """Rank sessions by the number of sessions of each (part, range).

    Raises:
      HlnError: No session is left to train on or to test.
    """
    total = {"train": 0, "test": 0}
    first = {}
    for (part, index), count in sorted(counts):
        first[part, index] = total[part]
        total[part] += count
    validation_sessions = int(total["train"] * validation)
    sessions = {
        "train": total["train"] - validation_sessions,
        "validation": validation_sessions,
        "test": total["test"],
    }
    remedies = {
        "train": "lower --test_seconds (or set a later --test_from), raise --train_fraction "
        "or give a longer log",
        "test": "raise --test_seconds (or set an earlier --test_from) or give a longer log",
    }
    for name, remedy in remedies.items():
        if not sessions[name]:
            raise HlnError(f"the {name} part is empty after all filters: {remedy}")
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


def day(seconds: int) -> str:
    """Format the day of a time, for messages."""
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())
