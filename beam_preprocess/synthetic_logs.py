"""Synthetic clicks with the statistics of public logs, in blocks of rows as text."""

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BLOCK = 500_000  # clicks generated at a time, about
_DAY = 86_400_000  # milliseconds

_LONGEST = 200  # clicks of a visit to a shop
_SHORTEST_INTERVAL, _MEAN_INTERVAL = 500, 150_000  # milliseconds between two of them

# Yoochoose: 33.0 M clicks, 9.2 M sessions, 52.7 k items, of which 37.5 k are clicked
# 5 times or more and the first 150 k times.
_ITEMS = 53_300  # some are never clicked
_ITEM_SHIFT, _ITEM_POWER = 200, 1.97
_SINGLE, _LENGTH_POWER = 0.137, 2.6  # share of the sessions of one click; of the others
_FIRST_DAY, _DAYS = np.datetime64("2014-04-01"), 183

# Diginetica: 1.24 M views, 310 k sessions, 123 k items, of which 43 k are viewed 5 times or more.
_VIEWED = 130_000
_NO_USER = 0.8
_SINGLE_VIEW, _VIEWS_POWER = 0.3, 2.3
_FIRST_VIEWED_DAY, _VIEWED_DAYS = np.datetime64("2016-01-01"), 153

# RetailRocket: 2.76 M events of 1.41 M visitors with 235 k items; few are no views.
_SHOWN = 260_000
_EVENTS_PER_VISITOR, _SINGLE_EVENT = 1.96, 0.8
_CART, _TRANSACTION = 0.0252, 0.0081
_FIRST_SHOWN_DAY, _SHOWN_DAYS = np.datetime64("2015-05-03"), 138
_FLAT_SHIFT, _FLAT_POWER = 1000, 1.2  # of items, here and in Diginetica

# LastFM-1K: 19.1 M plays of 992 users, about 1 M songs of 170 k artists.
_PLAYS_PER_USER, _SPREAD = 19_300, 0.8
_PLAYS_PER_SONG, _SONGS, _SONGS_PER_ARTIST = 19, 1_000_000, 6
_SONG_SHIFT, _SONG_POWER = 30, 1.1
_NO_ARTIST_ID, _NO_SONG_ID = 0.07, 0.28
_PLAY_INTERVAL, _SHORTEST_BREAK, _MEAN_BREAK = 240, 36_000, 72_000  # seconds
_MOST_BREAKS = 800
_LAST_SECOND = np.datetime64("2009-05-05T23:59:59")
_LOG_SPAN = 4.2 * 365 * 86_400  # seconds
_WORDS = (
    "Night River Ghost Golden Heart Winter Machine Silent Summer Blue Paper Echo Glass Velvet "
    'Stone Sailor\'s "Lucky" Earth, Björk Café Señor Ænima Ólafur Мир 夜 Łódź Noël São Ångström '
    "& the of (Live) No. Vol. Pt. Radio Electric Garden Moon City Fire Dream Horse Parade Tiger "
    "Shadow Island Northern Empty Seven Station Harbour Mirror Orchestra Wolf Feather Broken "
    "Ocean Little"
).split()


def yoochoose(clicks: int, seed: int, catalogue: int = 0) -> Iterator[tuple[int, bytes]]:
    """Generate rows `session,time,item,category`: contiguous sessions, not in order of time.

    Yields:
      Number of clicks and text of a block; `clicks` in all.
    """
    rng = np.random.default_rng([seed, 0])
    catalogue = catalogue or _ITEMS
    items = pa.array(214_507_224 + 7 * rng.permutation(catalogue)).cast(pa.string())
    names = ["0", "S", *map(str, range(1, 13)), "2088643221", "1509387364"]
    categories = pa.array([f"{name}\n" for name in names])
    shares = np.array([0.5, 0.3, *[0.015] * 12, 0.01, 0.01])
    session = 0
    for lengths in _visits(rng, clicks, _SINGLE, _LENGTH_POWER):
        count = int(lengths.sum())
        ids = session + np.cumsum(rng.integers(1, 3, len(lengths)))
        session = int(ids[-1])
        starts = rng.integers(0, _DAYS * _DAY, len(lengths))
        times = _elapsed(rng, lengths) + np.repeat(starts, lengths)
        kinds = np.searchsorted(np.cumsum(shares)[:-1], rng.random(count))
        yield (
            count,
            _text(
                pa.array(np.repeat(ids, lengths)).cast(pa.string()),
                _times(_FIRST_DAY, times, milliseconds=True),
                items.take(pa.array(_skewed(rng, count, catalogue, _ITEM_SHIFT, _ITEM_POWER))),
                categories.take(pa.array(kinds)),
                delimiter=",",
            ),
        )


def diginetica(clicks: int, seed: int, catalogue: int = 0) -> Iterator[tuple[int, bytes]]:
    """Generate rows `session;user;item;timeframe;date`, those of a session not in their order.

    Yields:
      Number of clicks and text of a block; `clicks` in all, after the names of the columns.
    """
    rng = np.random.default_rng([seed, 2])
    catalogue = catalogue or _VIEWED
    items = pa.array(1 + rng.permutation(catalogue)).cast(pa.string())
    days = _FIRST_VIEWED_DAY + np.arange(_VIEWED_DAYS)
    dates = pa.array([f"{day}\n" for day in days])
    yield 0, b"sessionId;userId;itemId;timeframe;eventdate\n"
    session = 0
    for lengths in _visits(rng, clicks, _SINGLE_VIEW, _VIEWS_POWER):
        count = int(lengths.sum())
        visit = np.repeat(np.arange(len(lengths)), lengths)
        ids = session + 1 + np.arange(len(lengths))
        session = int(ids[-1])
        users = pa.array(ids).cast(pa.string())
        users = pc.if_else(pa.array(rng.random(len(ids)) < _NO_USER), "NA", users)
        starts = rng.exponential(2 * _MEAN_INTERVAL, len(lengths)).astype(np.int64)
        timeframes = _elapsed(rng, lengths) + np.repeat(starts, lengths)
        shuffled = np.lexsort((rng.random(count), visit))
        yield (
            count,
            _text(
                pa.array(ids[visit]).cast(pa.string()),
                users.take(pa.array(visit)),
                items.take(pa.array(_skewed(rng, count, catalogue, _FLAT_SHIFT, _FLAT_POWER))),
                pa.array(timeframes[shuffled]).cast(pa.string()),
                dates.take(pa.array(rng.integers(0, _VIEWED_DAYS, len(lengths))[visit])),
                delimiter=";",
            ),
        )


def retailrocket(clicks: int, seed: int, catalogue: int = 0) -> Iterator[tuple[int, bytes]]:
    """Generate rows `time,visitor,event,item,transaction` in no order.

    Yields:
      Number of events and text of a block; `clicks` in all, after the names of the columns.
    """
    rng = np.random.default_rng([seed, 3])
    catalogue = catalogue or _SHOWN
    items = pa.array(rng.permutation(catalogue)).cast(pa.string())
    visitors = max(1, round(clicks / _EVENTS_PER_VISITOR))
    begin = int(_FIRST_SHOWN_DAY.astype("datetime64[ms]").astype(np.int64))
    kinds = pa.array(["transaction", "addtocart", "view"])
    yield 0, b"timestamp,visitorid,event,itemid,transactionid\n"
    transaction = 0
    for lengths in _visits(rng, clicks, _SINGLE_EVENT, _LENGTH_POWER):
        count = int(lengths.sum())
        starts = begin + rng.integers(0, _SHOWN_DAYS * _DAY, len(lengths))
        times = _elapsed(rng, lengths) + np.repeat(starts, lengths)
        ids = np.repeat(rng.integers(0, visitors, len(lengths)), lengths)
        kind = np.searchsorted([_TRANSACTION, _TRANSACTION + _CART], rng.random(count))
        ends = pa.array(transaction + np.cumsum(kind == 0)).cast(pa.string())
        transaction += int((kind == 0).sum())
        ends = pc.if_else(pa.array(kind == 0), ends, "")
        order = pa.array(rng.permutation(count))
        yield (
            count,
            _text(
                pa.array(times).cast(pa.string()).take(order),
                pa.array(ids).cast(pa.string()).take(order),
                kinds.take(pa.array(kind)).take(order),
                items.take(pa.array(_skewed(rng, count, catalogue, _FLAT_SHIFT, _FLAT_POWER))),
                pc.binary_join_element_wise(ends.take(order), "\n", ""),
                delimiter=",",
            ),
        )


def _visits(
    rng: np.random.Generator, clicks: int, single: float, power: float
) -> Iterator[np.ndarray]:
    """Yield the lengths of visits, int64 [visits], a block at a time, `clicks` in all.

    Args:
      rng: The random numbers.
      clicks: Their sum.
      single: Share of the visits of one click.
      power: That of the power law that the other lengths follow.
    """
    weights = np.arange(2, _LONGEST + 1) ** -power
    ends = np.cumsum(np.append(single, (1 - single) * weights / weights.sum()))
    remaining = clicks
    while remaining:
        lengths = 1 + np.searchsorted(ends[:-1], rng.random(_BLOCK // 4), "right")
        lengths = lengths[: np.searchsorted(np.cumsum(lengths), remaining) + 1]
        lengths[-1] = min(lengths[-1], remaining - lengths[:-1].sum())
        remaining -= int(lengths.sum())
        yield lengths


def _elapsed(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Sample the milliseconds from the first click of a visit to each of its clicks."""
    intervals = rng.exponential(_MEAN_INTERVAL, int(lengths.sum())).astype(np.int64)
    elapsed = np.cumsum(intervals + _SHORTEST_INTERVAL)
    first = np.cumsum(lengths) - lengths
    return elapsed - np.repeat(elapsed[first], lengths)


def lastfm(clicks: int, seed: int, songs: int = 0) -> Iterator[tuple[int, bytes]]:
    """Generate rows `user, time, artist id, artist, song id, song`, a user's latest play first.

    Yields:
      Number of plays and text of a block; `clicks` in all.
    """
    rng = np.random.default_rng([seed, 1])
    users = max(1, round(clicks / _PLAYS_PER_USER))
    shares = rng.lognormal(0, _SPREAD, users)
    bounds = np.rint(np.cumsum(shares) / shares.sum() * clicks).astype(np.int64)
    songs = songs or min(_SONGS, max(100, clicks // _PLAYS_PER_SONG))
    artists = -(-songs // _SONGS_PER_ARTIST)
    artist_names = _names(rng.permutation(artists))
    artist_ids = _ids(rng, artists, _NO_ARTIST_ID)
    song_names = pc.binary_join_element_wise(_names(rng.permutation(songs)), "\n", "")
    song_ids = _ids(rng, songs, _NO_SONG_ID)
    first = 0
    while first < users:
        start = bounds[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(bounds, start + _BLOCK, "right")))
        plays = np.diff(bounds[first:end], prepend=start)
        count = int(plays.sum())
        song = _skewed(rng, count, songs, _SONG_SHIFT, _SONG_POWER)
        artist = pa.array(song // _SONGS_PER_ARTIST)
        song = pa.array(song)
        names = pa.array([f"user_{number:06d}" for number in range(first + 1, end + 1)])
        days, seconds = np.divmod(_play_times(rng, plays), 86_400)
        times = (days - days.min()) * _DAY + seconds * 1000
        text = _text(
            names.take(pa.array(np.repeat(np.arange(end - first), plays))),
            _times(np.datetime64(int(days.min()), "D"), times, milliseconds=False),
            artist_ids.take(artist),
            artist_names.take(artist),
            song_ids.take(song),
            song_names.take(song),
            delimiter="\t",
        )
        yield count, text
        first = end


def _play_times(rng: np.random.Generator, plays: np.ndarray) -> np.ndarray:
    """Sample the time of each user's plays in seconds since 1970, latest first, int64 [plays]."""
    count = int(plays.sum())
    intervals = 30 + rng.exponential(_PLAY_INTERVAL - 30, count)
    break_rate = np.repeat(np.minimum(0.05, _MOST_BREAKS / np.maximum(plays, 1)), plays)
    is_break = rng.random(count) < break_rate
    intervals[is_break] = _SHORTEST_BREAK + rng.exponential(_MEAN_BREAK, int(is_break.sum()))
    user = np.repeat(np.arange(len(plays)), plays)
    span = np.bincount(user, intervals, len(plays))
    intervals *= np.minimum(1, _LOG_SPAN / np.maximum(span, 1))[user]
    elapsed = np.cumsum(intervals)
    first = np.cumsum(plays) - plays
    latest = rng.exponential(2 * 86_400, len(plays))
    active = np.flatnonzero(plays)
    base = np.zeros(len(plays))
    base[active] = latest[active] - elapsed[first[active]]
    return _LAST_SECOND.astype(np.int64) - (elapsed + base[user]).astype(np.int64)


def _skewed(
    rng: np.random.Generator, count: int, outcomes: int, shift: float, power: float
) -> np.ndarray:
    """Sample from 0 to `outcomes - 1`; k about as likely as (k + shift) ** -power (Zipf's law)."""
    low, high = shift ** (1 - power), (shift + outcomes) ** (1 - power)
    rank = (low + rng.random(count) * (high - low)) ** (1 / (1 - power)) - shift
    return np.minimum(rank.astype(np.int64), outcomes - 1)


def _names(indices: np.ndarray) -> pa.StringArray:
    """Make a name of three words for each index, no two alike below `len(_WORDS) ** 3`."""
    words, many = pa.array(_WORDS), len(_WORDS)
    digits = [(indices // many**power) % many for power in range(3)]
    name = pc.binary_join_element_wise(*(words.take(pa.array(digit)) for digit in digits), " ")
    if indices.max() < many**3:
        return name
    volumes = pa.array(indices // many**3).cast(pa.string())
    return pc.binary_join_element_wise(name, volumes, " ")


def _ids(rng: np.random.Generator, count: int, empty: float) -> pa.StringArray:
    """Sample ids of 36 hexadecimal digits and dashes, this share of them empty."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = digits[rng.integers(0, 16, (count, 36), dtype=np.uint8)]
    text[:, [8, 13, 18, 23]] = ord("-")
    return pc.if_else(pa.array(rng.random(count) < empty), "", _fixed(text))


def _times(first_day: np.datetime64, times: np.ndarray, milliseconds: bool) -> pa.StringArray:
    """Format times, milliseconds since a day, as text such as `2014-04-07T10:51:09.277Z`."""
    days = (first_day + np.arange(times.max() // _DAY + 1)).astype("S10")
    fractions = [f".{number:03d}Z" for number in range(1000)] if milliseconds else ["Z"] * 1000
    columns = (
        days[times // _DAY],
        _seconds_of_day()[times % _DAY // 1000],
        np.array(fractions, "S")[times % 1000],
    )
    text = [column.view(np.uint8).reshape(len(times), -1) for column in columns]
    return _fixed(np.concatenate(text, axis=1))


@functools.cache
def _seconds_of_day() -> np.ndarray:
    clock = (f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400))
    return np.array(list(clock), "S9")


def _fixed(text: np.ndarray) -> pa.StringArray:
    """Convert rows of characters, uint8 [rows, width], to strings."""
    rows, width = text.shape
    ends = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(text.tobytes()))


def _text(*columns: pa.StringArray, delimiter: str) -> bytes:
    """Join columns to rows; the last column includes the line's end."""
    rows = pc.binary_join_element_wise(*columns, delimiter)
    _, ends, text = rows.buffers()
    return bytes(memoryview(text)[: np.frombuffer(ends, np.int32)[len(rows)]])
