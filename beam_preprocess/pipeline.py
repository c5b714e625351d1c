"""The Beam pipeline: from raw files to a data set directory.

Elements are blocks of columns, never single clicks. What is global (item
counts, the latest date, item numbers, where the cuts fall) is combined from
small summaries of the blocks and handed to the next step as a side input.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from beam_preprocess import scan, sessions, stats
from beam_preprocess import splits as order
from beam_preprocess.failures import Merge, Step
from beam_preprocess.read import LogFile, Part
from beam_preprocess.scan import Tally
from beam_preprocess.sessions import Sessions
from beam_preprocess.settings import Settings, Work
from beam_preprocess.spill import Held, Spill, peek, take
from beam_preprocess.splits import Appearances, Ranges, Ranks, Span
from beam_preprocess.stats import Rows
from beam_preprocess.write import Shard, write_shard
from hln_tf.common.errors import HlnError

SUMMARY = "summary"


def build(
    pipeline: beam.Pipeline,
    files: Sequence[LogFile],
    settings: Settings,
    work: Work,
    directories: Mapping[str, str],
    spill: Spill,
) -> None:
    """Adds all steps: reads the files and fills the directories except for their manifests.

    Args:
      pipeline: Where the steps go.
      files: The raw files.
      settings: What to write; `train_fraction` does not count.
      work: How to cut the work up.
      directories: The directory of each fraction of train.
      spill: Where large values go between steps.
    """
    scanned = _split(
        pipeline
        | "files" >> beam.Create(scan.cut(files, work.block_bytes))
        | "spread files" >> beam.Reshuffle(),
        "read",
        read,
        settings,
        work,
        spill,
    )
    rows = _merged(scanned[SUMMARY], "check rows", check_rows, files, settings)
    grouped = _split(
        scanned["main"] | "by session" >> beam.GroupByKey(),
        "group sessions",
        group_sessions,
        settings,
        spill,
        AsSingleton(rows),
    )
    items = _merged(grouped[SUMMARY], "count items", choose_items, settings)
    filtered = _split(
        grouped["main"], "filter sessions", filter_sessions, settings, spill, AsSingleton(items)
    )
    span = _merged(
        filtered[SUMMARY],
        "find the dates",
        find_span,
        settings,
        AsSingleton(rows),
        AsSingleton(items),
    )
    firsts = filtered["main"] | "see items" >> beam.ParDo(
        Step(see_items, "numbering items"), AsSingleton(span)
    )
    numbers = _merged(firsts, "number items", number_items, AsSingleton(items))
    numbered = _split(
        filtered["main"],
        "number sessions",
        number_sessions,
        settings,
        spill,
        AsSingleton(span),
        AsSingleton(numbers),
    )
    for fraction, directory in directories.items():
        one = dataclasses.replace(settings, train_fraction=fraction)
        is_shared = len(directories) > 1
        _order_and_write(numbered, one, directory, spill, is_shared, rows, items, span, numbers)


def _order_and_write(
    numbered: Any,
    settings: Settings,
    directory: str,
    spill: Spill,
    is_shared: bool,
    rows: PCollection,
    items: PCollection,
    span: PCollection,
    numbers: PCollection,
) -> None:
    """The steps from sessions with item numbers to the directory of a fraction of train.

    Args:
      numbered: The sessions, and their summaries.
      settings: What to write.
      directory: Where.
      spill: Where large values go between steps.
      is_shared: Whether another fraction takes the same sessions.
      rows: The rows of all files.
      items: The kept items.
      span: The dates of the sessions, and what the filters left.
      numbers: The items' numbers.
    """
    label = f" for {settings.train_fraction}"
    ranges = _merged(numbered[SUMMARY], "plan ranges", plan_ranges, settings, label=label)
    ordered = _split(
        numbered["main"]
        | f"cut into ranges{label}"
        >> beam.ParDo(
            Step(into_ranges, "sorting"), spill, is_shared, AsSingleton(span), AsSingleton(ranges)
        )
        | f"by range{label}" >> beam.GroupByKey(),
        "sort",
        sort_range,
        spill,
        AsSingleton(ranges),
        label=label,
    )
    ranks = _merged(ordered[SUMMARY], "rank", rank_ranges, settings, label=label)
    shards = (
        ordered["main"]
        | f"cut into shards{label}"
        >> beam.ParDo(Step(into_shards, "sorting"), spill, AsSingleton(ranks))
        | f"by shard{label}" >> beam.GroupByKey()
        | f"write{label}"
        >> beam.ParDo(Step(write, "writing"), directory, settings, AsSingleton(ranks))
    )
    _merged(
        shards,
        "report",
        finish,
        directory,
        settings,
        *map(AsSingleton, (rows, items, span, numbers, ranges)),
        label=label,
    )


@dataclasses.dataclass(frozen=True)
class _Summary:
    """Marks what is for the next merge; not every runner keeps tagged outputs apart."""

    value: Any


def _split(
    source: PCollection,
    name: str,
    function: Callable[..., Iterator[Any]],
    *extra: Any,
    label: str = "",
) -> dict[str, PCollection]:
    """A step with two outputs: the data and small summaries of it."""
    both = source | f"{name}{label}" >> beam.ParDo(Step(function, name), *extra)
    return {
        "main": both
        | f"data of {name}{label}" >> beam.Filter(lambda value: not isinstance(value, _Summary)),
        SUMMARY: both | f"summaries of {name}{label}" >> beam.FlatMap(_summaries),
    }


def _summaries(value: Any) -> list[Any]:
    return [value.value] if isinstance(value, _Summary) else []


def _merged(
    parts: PCollection,
    name: str,
    function: Callable[..., Iterator[Any]],
    *extra: Any,
    label: str = "",
) -> PCollection:
    """A step on the list of all `parts`, which are few and small; yields one value."""
    return (
        parts.pipeline
        | f"once to {name}{label}" >> beam.Create([None], reshuffle=False)
        | f"{name}{label}" >> beam.ParDo(Merge(function, name), AsList(parts), *extra)
    )


def read(part: Part, settings: Settings, work: Work, spill: Spill) -> Iterator[Any]:
    """A part of a file -> `(partition, clicks)`; summary: `Tally`."""
    for value in scan.scan(part, settings, work):
        if isinstance(value, Tally):
            yield _Summary(value)
        else:
            yield value[0], spill.put(value[1])


def check_rows(
    tallies: Sequence[Tally], files: Sequence[LogFile], settings: Settings
) -> Iterator[Rows]:
    """All tallies -> `Rows`."""
    yield stats.check_rows(tallies, files, settings)


def group_sessions(
    clicks: tuple[int, Iterable[Held[pa.RecordBatch]]],
    settings: Settings,
    spill: Spill,
    rows: Rows,
) -> Iterator[Any]:
    """`(partition, clicks)` -> sessions and item ids; summary: item counts, clicks left.

    Waiting for `rows` keeps a log of too many malformed rows from being worked on.
    """
    by_time, keep_times = settings.order == "time", settings.gap > 0
    grouped, ids = sessions.group(map(take, clicks[1]), by_time, keep_times)
    left = {}
    if not settings.gap:
        grouped = sessions.select_lengths(grouped, settings.min_session_length)
        left = {f"in sessions of {settings.min_session_length} or more clicks": grouped.clicks}
    yield _Summary((sessions.count_items(grouped.items, ids), left))
    yield spill.put((grouped, ids))


def choose_items(
    parts: Sequence[tuple[pa.Table, dict[str, int]]], settings: Settings
) -> Iterator[tuple[pa.StringArray, dict[str, int]]]:
    """All item counts -> the ids of the items to keep, and the sum of the clicks left."""
    counts = [table for table, _ in parts]
    ids = sessions.frequent_items(counts, settings.min_item_count, settings.top_items)
    yield ids, _added(left for _, left in parts)


def filter_sessions(
    grouped: Held[tuple[Sessions, pa.StringArray]],
    settings: Settings,
    spill: Spill,
    items: tuple[pa.StringArray, dict[str, int]],
) -> Iterator[Any]:
    """Sessions and item ids -> sessions; summary: first and last date, clicks left."""
    kept = sessions.recode(*take(grouped), items[0])
    left = {"of frequent items": kept.clicks}
    if settings.gap:
        kept = sessions.split_at_gaps(kept, settings.gap)
    if settings.collapse_repeats:
        kept = sessions.collapse_repeats(kept)
        left["without repeats"] = kept.clicks
    shortest, longest = settings.min_session_length, settings.max_session_length
    kept = sessions.select_lengths(kept, shortest, longest)
    left[
        f"in sessions of {shortest} {f'to {longest}' if longest else 'or more'} clicks after that"
    ] = kept.clicks
    if len(kept):
        yield _Summary(((int(kept.dates.min()), int(kept.dates.max())), left))
        yield spill.put(kept)
    else:
        yield _Summary((None, left))


def find_span(
    parts: Sequence[tuple[tuple[int, int] | None, dict[str, int]]],
    settings: Settings,
    rows: Rows,
    items: tuple[pa.StringArray, dict[str, int]],
) -> Iterator[tuple[Span, dict[str, int]]]:
    """All dates -> their span, and the clicks that each filter left."""
    left = {"read": rows.read - rows.malformed}
    if settings.window():
        left["in the time window"] = rows.clicks
    left |= items[1] | _added(left for _, left in parts)
    dates = [dates for dates, _ in parts if dates]
    if not dates:
        raise HlnError(stats.explain_nothing_left(left))
    yield order.find_span(dates, settings.test_seconds, settings.test_begin()), left


def see_items(kept: Held[Sessions], span: tuple[Span, dict[str, int]]) -> Iterator[Appearances]:
    """Sessions -> where the items first appear in train."""
    yield order.first_appearances(order.train_and_test(peek(kept), span[0])[0])


def number_items(
    parts: Sequence[Appearances], items: tuple[pa.StringArray, dict[str, int]]
) -> Iterator[np.ndarray]:
    """All first appearances -> the number of each item, 0 for those that train never has."""
    yield order.number_items(parts, len(items[0]))


def number_sessions(
    kept: Held[Sessions],
    settings: Settings,
    spill: Spill,
    span: tuple[Span, dict[str, int]],
    numbers: np.ndarray,
) -> Iterator[Any]:
    """Sessions -> `(part, sessions)` with item numbers; summary: `(part, histogram)`."""
    train, test = order.train_and_test(take(kept), span[0])
    train = sessions.renumber(train, numbers, nothing=0)
    test = sessions.renumber(test, numbers, nothing=0)
    test = sessions.select_lengths(test, settings.min_session_length)
    for part, numbered in (("train", train), ("test", test)):
        yield _Summary((part, order.histogram(numbered, span[0])))
        yield part, spill.put(numbered)


def plan_ranges(
    histograms: Sequence[tuple[str, np.ndarray]], settings: Settings
) -> Iterator[dict[str, Ranges]]:
    """All histograms -> the ranges of train and test."""
    fractions = {"train": Fraction(settings.train_fraction), "test": Fraction(1)}
    yield {
        part: order.plan_ranges(
            np.sum([counts for name, counts in histograms if name == part], axis=0), fraction
        )
        for part, fraction in fractions.items()
    }


def into_ranges(
    part: tuple[str, Held[Sessions]],
    spill: Spill,
    is_shared: bool,
    span: tuple[Span, dict[str, int]],
    ranges: dict[str, Ranges],
) -> Iterator[tuple[tuple[str, int], Held[Sessions]]]:
    """`(part, sessions)` -> `((part, range), sessions)`."""
    name, held = part
    numbered = peek(held) if is_shared else take(held)
    for number, piece in order.into_ranges(numbered, span[0], ranges[name]):
        yield (name, number), spill.put(piece)


def sort_range(
    pieces: tuple[tuple[str, int], Iterable[Held[Sessions]]],
    spill: Spill,
    ranges: dict[str, Ranges],
) -> Iterator[Any]:
    """`((part, range), pieces)` -> the same with the sessions in order; summary: their number."""
    key, parts = pieces
    ordered = order.by_date(sessions.concatenated(list(map(take, parts))))
    ordered = order.keep_latest(ordered, int(ranges[key[0]].quota[key[1]]))
    yield _Summary((key, len(ordered)))
    yield key, spill.put(ordered)


def rank_ranges(
    counts: Sequence[tuple[tuple[str, int], int]], settings: Settings
) -> Iterator[Ranks]:
    """All numbers of sessions -> where each range stands."""
    yield order.rank(counts, Fraction(settings.validation_fraction), settings.shards)


def into_shards(
    ordered: tuple[tuple[str, int], Held[Sessions]], spill: Spill, ranks: Ranks
) -> Iterator[tuple[tuple[str, int], tuple[int, Held[Sessions]]]]:
    """`((part, range), sessions)` -> `((split, shard), (rank, sessions))`."""
    (part, number), kept = ordered
    for split, shard, first, piece in order.into_shards(part, number, take(kept), ranks):
        yield (split, shard), (first, spill.put(piece))


def write(
    pieces: tuple[tuple[str, int], Iterable[tuple[int, Held[Sessions]]]],
    directory: str,
    settings: Settings,
    ranks: Ranks,
) -> Iterator[Shard]:
    """`((split, shard), pieces)` -> a file, and what it holds."""
    (split, shard), parts = pieces
    loaded = ((first, take(piece)) for first, piece in parts)
    yield write_shard(directory, split, shard, ranks.shards[split], settings.compression, loaded)


def finish(
    shards: Sequence[Shard],
    directory: str,
    settings: Settings,
    rows: Rows,
    items: tuple[pa.StringArray, dict[str, int]],
    span: tuple[Span, dict[str, int]],
    numbers: np.ndarray,
    ranges: dict[str, Ranges],
) -> Iterator[None]:
    """All shards -> vocabulary.txt and stats.json."""
    stats.write_vocabulary(directory, items[0], numbers)
    stats.write_stats(
        directory, settings, rows, span[1], ranges, int(numbers.max(initial=0)), shards
    )
    yield None


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
