"""Train and test, item numbers, the order by date, and the exact cuts in it.

Sessions are ordered by (date, first appearance). No single place holds them
all: each part of the data says how many sessions and samples it has in which
stretch of time, and from the sums each stretch knows what to keep.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from beam_preprocess.sessions import Sessions, by_date, rows, select, select_clicks
from hln_tf.common.errors import HlnError

BUCKETS = 4096  # stretches of equal time in which sessions are counted
RANGES = 32  # stretches of about as many samples, each sorted in one place


@dataclasses.dataclass(frozen=True)
class Span:
    """The dates of all sessions, and those that part test from train.

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
    """The span from each part's first and last date.

    Args:
      dates: These dates.
      test_seconds: So long before the latest date train ends and test begins;
        sessions of just this date are dropped, as the published protocol has it.
      test_begin: In its place, the first date of test, all before it is train.
    """
    first, last = zip(*dates, strict=True)
    if test_begin is not None:
        return Span(min(first), max(last), test_begin, test_begin - 1)
    boundary = max(last) - test_seconds
    return Span(min(first), max(last), boundary, boundary)


def train_and_test(sessions: Sessions, span: Span) -> tuple[Sessions, Sessions]:
    """The sessions of train and those of test."""
    return (
        select(sessions, sessions.dates < span.train_end),
        select(sessions, sessions.dates > span.test_after),
    )


@dataclasses.dataclass(frozen=True)
class Appearances:
    """Where items first appear in order of date: the session's date and order, the click in it.

    All are arrays [items]; `item` int32, the others int64.
    """

    item: np.ndarray
    date: np.ndarray
    order: np.ndarray
    click: np.ndarray


def first_appearances(train: Sessions) -> Appearances:
    """The first appearance of each item that occurs."""
    ordered = by_date(train)
    items, first = np.unique(ordered.items, return_index=True)
    session = np.searchsorted(ordered.offsets, first, "right") - 1
    return Appearances(
        items,
        ordered.dates[session],
        ordered.order[session],
        first - ordered.offsets[session],
    )


def number_items(parts: Sequence[Appearances], items: int) -> np.ndarray:
    """Numbers the items from 1 in order of first appearance, int32 [items]; 0: never."""
    item, date, order, click = (
        np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Appearances)
    )
    ordered = item[np.lexsort((click, order, date))]
    _, first = np.unique(ordered, return_index=True)
    seen = ordered[np.sort(first)]
    numbers = np.zeros(items, np.int32)
    numbers[seen] = np.arange(1, len(seen) + 1)
    return numbers


def buckets(dates: np.ndarray, span: Span) -> np.ndarray:
    """The bucket of each date, int64 [sessions], from 0 to `BUCKETS - 1`."""
    return (dates - span.first) * BUCKETS // (span.last - span.first + 1)


def histogram(sessions: Sessions, span: Span) -> np.ndarray:
    """Sessions and clicks in each bucket, int64 [2, BUCKETS]."""
    bucket = buckets(sessions.dates, span)
    clicks = np.zeros(BUCKETS, np.int64)
    np.add.at(clicks, bucket, sessions.lengths)
    return np.stack([np.bincount(bucket, minlength=BUCKETS), clicks])


@dataclasses.dataclass(frozen=True)
class Ranges:
    """How the sessions of train or test are cut into ranges of time.

    Attributes:
      of_bucket: Range of each bucket, int64 [BUCKETS]; -1: nothing is kept.
      quota: Samples that each range may keep, the latest, int64 [RANGES].
      sessions: Sessions of the part, those that are not kept included.
      clicks: Their clicks.
    """

    of_bucket: np.ndarray
    quota: np.ndarray
    sessions: int
    clicks: int


def plan_ranges(counts: np.ndarray, fraction: Fraction) -> Ranges:
    """Plans ranges of about equal size for the last `fraction` of the samples.

    Args:
      counts: Sum of the histograms, int64 [2, BUCKETS].
      fraction: The last int(samples * fraction) samples are kept.
    """
    samples = counts[1] - counts[0]
    kept = int(int(samples.sum()) * fraction)
    after = samples[::-1].cumsum()[::-1] - samples
    of_bucket = np.where(
        after < kept, np.minimum((kept - after - 1) * RANGES // max(kept, 1), RANGES - 1), -1
    )
    in_range = np.bincount(of_bucket[of_bucket >= 0], samples[of_bucket >= 0], RANGES)
    in_range = in_range.astype(np.int64)
    quota = kept - (in_range[::-1].cumsum()[::-1] - in_range)
    return Ranges(of_bucket, quota, int(counts[0].sum()), int(counts[1].sum()))


def into_ranges(sessions: Sessions, span: Span, ranges: Ranges) -> Iterator[tuple[int, Sessions]]:
    """Yields each range's sessions; those before the first range are dropped."""
    place = ranges.of_bucket[buckets(sessions.dates, span)]
    for number in np.unique(place[place >= 0]):
        yield int(number), select(sessions, place == number)


def keep_latest(sessions: Sessions, samples: int) -> Sessions:
    """Keeps the last `samples` samples of sessions that are in order.

    The samples of a session stand longest prefix first, so what is left of a
    session in which the cut falls are its shortest prefixes: its first clicks.
    """
    of_session = sessions.lengths - 1
    after = of_session[::-1].cumsum()[::-1] - of_session
    left = np.clip(samples - after, 0, of_session)
    place = np.arange(sessions.clicks) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    shortened = select_clicks(sessions, place <= np.repeat(left, sessions.lengths))
    return select(shortened, left > 0)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Where the sessions of each range stand in the order, and how it is cut.

    Attributes:
      first: Rank of each range's first session, by (part, range).
      train: Number of train sessions before the validation part begins.
      sessions: Number of sessions of each split.
      shards: Number of files of each split.
    """

    first: dict[tuple[str, int], int]
    train: int
    sessions: dict[str, int]
    shards: dict[str, int]


def rank(counts: Iterable[tuple[tuple[str, int], int]], validation: Fraction, shards: int) -> Ranks:
    """Ranks sessions from the number of sessions of each (part, range).

    Raises:
      HlnError: No session is left to train on or to test.
    """
    total = {"train": 0, "test": 0}
    first = {}
    for (part, number), count in sorted(counts):
        first[part, number] = total[part]
        total[part] += count
    held_out = int(total["train"] * validation)
    sessions = {
        "train": total["train"] - held_out,
        "validation": held_out,
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


def into_shards(
    part: str, number: int, sessions: Sessions, ranks: Ranks
) -> Iterator[tuple[str, int, int, Sessions]]:
    """Cuts the sessions of a range, in order, into pieces of shards of equal size.

    Yields:
      Split, shard, rank of the piece's first session within the split, and
      the piece.
    """
    start = ranks.first[part, number]
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
                yield split, shard, low - base, rows(sessions, low - start, high - start)


def day(seconds: int) -> str:
    """The day of a time, for messages."""
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())
