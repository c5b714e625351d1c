"""The Beam pipeline: from raw files to a data set directory.

Elements are blocks of columns, never single clicks. Global values (item counts,
the latest date, item indices, the cuts) are combined from small summaries of the
blocks and passed to the next step as a side input.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from beam_preprocess import scan, splits, stats
from beam_preprocess.failures import Merge, Step
from beam_preprocess.read import LogFile, Part
from beam_preprocess.rows import merge_partition
from beam_preprocess.scan import Tally
from beam_preprocess.settings import Settings, Work
from beam_preprocess.spill import MaybeSpilled, Spill, peek, take
from beam_preprocess.splits import Ranges, Ranks, Span
from beam_preprocess.stats import Rows
from beam_preprocess.write import Shard, write_shard
from hln_tf.common.errors import HlnError
from hln_tf.data import protocol, vocabulary
from hln_tf.data.session_columns import SessionColumns, concatenate, sort_by_date
from hln_tf.data.vocabulary import Appearances

SUMMARY = "summary"


def build(
    pipeline: beam.Pipeline,
    files: Sequence[LogFile],
    settings: Settings,
    work: Work,
    directories: Mapping[str, str],
    spill: Spill,
) -> None:
    """Add all steps: read the files and fill the directories except for their manifests.

    Args:
      pipeline: The pipeline that gets the steps.
      files: The raw files.
      settings: What to write; `train_fraction` is ignored.
      work: How to divide the work.
      directories: The directory of each fraction of train.
      spill: Storage of large values between steps.
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
    firsts = filtered["main"] | "find first appearances" >> beam.ParDo(
        Step(find_first_appearances, "indexing items"), AsSingleton(span)
    )
    indices = _merged(firsts, "index items", index_items, AsSingleton(items))
    encoded = _split(
        filtered["main"],
        "encode sessions",
        encode_sessions,
        settings,
        spill,
        AsSingleton(span),
        AsSingleton(indices),
    )
    for fraction, directory in directories.items():
        one = dataclasses.replace(settings, train_fraction=fraction)
        is_shared = len(directories) > 1
        _sort_and_write(encoded, one, directory, spill, is_shared, rows, items, span, indices)


def _sort_and_write(
    encoded: Any,
    settings: Settings,
    directory: str,
    spill: Spill,
    is_shared: bool,
    rows: PCollection,
    items: PCollection,
    span: PCollection,
    indices: PCollection,
) -> None:
    """Add the steps from sessions of item indices to the directory of a fraction of train.

    Args:
      encoded: The sessions, and their summaries.
      settings: What to write.
      directory: Where to write it.
      spill: Storage of large values between steps.
      is_shared: Whether another fraction uses the same sessions.
      rows: The counts of the rows of all files.
      items: The frequent items.
      span: The dates of the sessions, and the clicks that each filter left.
      indices: The items' item indices.
    """
    label = f" for {settings.train_fraction}"
    ranges = _merged(encoded[SUMMARY], "plan ranges", plan_ranges, settings, label=label)
    ordered = _split(
        encoded["main"]
        | f"cut into ranges{label}"
        >> beam.ParDo(
            Step(split_into_ranges, "sorting"),
            spill,
            is_shared,
            AsSingleton(span),
            AsSingleton(ranges),
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
        >> beam.ParDo(Step(split_into_shards, "sorting"), spill, AsSingleton(ranks))
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
        *map(AsSingleton, (rows, items, span, indices, ranges)),
        label=label,
    )


@dataclasses.dataclass(frozen=True)
class _Summary:
    """A value for the next merge; not every runner separates tagged outputs."""

    value: Any


def _split(
    source: PCollection,
    name: str,
    function: Callable[..., Iterator[Any]],
    *extra: Any,
    label: str = "",
) -> dict[str, PCollection]:
    """Add a step with two outputs: the data and small summaries of it."""
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
    """Add a step from the list of all `parts`, which are few and small, to one value."""
    return (
        parts.pipeline
        | f"once to {name}{label}" >> beam.Create([None], reshuffle=False)
        | f"{name}{label}" >> beam.ParDo(Merge(function, name), AsList(parts), *extra)
    )


def read(part: Part, settings: Settings, work: Work, spill: Spill) -> Iterator[Any]:
    """Read a part of a file -> `(partition, clicks)`; summary: `Tally`."""
    for value in scan.scan(part, settings, work):
        if isinstance(value, Tally):
            yield _Summary(value)
        else:
            yield value[0], spill.put(value[1])


def check_rows(
    tallies: Sequence[Tally], files: Sequence[LogFile], settings: Settings
) -> Iterator[Rows]:
    """Add up all tallies -> `Rows`."""
    yield stats.check_rows(tallies, files, settings)


def group_sessions(
    clicks: tuple[int, Iterable[MaybeSpilled[pa.RecordBatch]]],
    settings: Settings,
    spill: Spill,
    rows: Rows,
) -> Iterator[Any]:
    """Group `(partition, clicks)` -> sessions, item ids; summary: item counts, clicks left.

    `rows` is not used; waiting for it stops a log of too many malformed rows early.
    """
    merged = merge_partition(map(take, clicks[1]))
    position = merged["position"].to_numpy()
    grouped, ids = protocol.group_clicks(
        merged["session"], merged["time"], merged["item"], position, settings
    )
    grouped, clicks_left = protocol.drop_short_sessions(grouped, settings)
    yield _Summary((vocabulary.count_items(grouped.items, ids), clicks_left))
    yield spill.put((grouped, ids))


def choose_items(
    parts: Sequence[tuple[pa.Table, dict[str, int]]], settings: Settings
) -> Iterator[tuple[pa.StringArray, dict[str, int]]]:
    """Merge all item counts -> the ids of the frequent items, and the sum of the clicks left."""
    counts = [table for table, _ in parts]
    yield (
        vocabulary.frequent_items(counts, settings),
        _added(clicks_left for _, clicks_left in parts),
    )


def filter_sessions(
    grouped: MaybeSpilled[tuple[SessionColumns, pa.StringArray]],
    settings: Settings,
    spill: Spill,
    items: tuple[pa.StringArray, dict[str, int]],
) -> Iterator[Any]:
    """Filter sessions and item ids -> sessions; summary: first and last date, clicks left."""
    filtered, clicks_left = protocol.filter_sessions(*take(grouped), items[0], settings)
    if len(filtered):
        yield _Summary(((int(filtered.dates.min()), int(filtered.dates.max())), clicks_left))
        yield spill.put(filtered)
    else:
        yield _Summary((None, clicks_left))


def find_span(
    parts: Sequence[tuple[tuple[int, int] | None, dict[str, int]]],
    settings: Settings,
    rows: Rows,
    items: tuple[pa.StringArray, dict[str, int]],
) -> Iterator[tuple[Span, dict[str, int]]]:
    """Merge all dates -> their span, and the clicks that each filter left."""
    clicks_left = {"read": rows.read - rows.malformed}
    if settings.window():
        clicks_left["in the time window"] = rows.clicks
    clicks_left |= items[1] | _added(counts for _, counts in parts)
    dates = [dates for dates, _ in parts if dates]
    if not dates:
        raise HlnError(protocol.explain_nothing_left(clicks_left))
    yield splits.find_span(dates, settings), clicks_left


def find_first_appearances(
    filtered: MaybeSpilled[SessionColumns], span: tuple[Span, dict[str, int]]
) -> Iterator[Appearances]:
    """Find the items' first appearances in the train sessions."""
    train, _ = protocol.split_train_test(peek(filtered), span[0].boundary)
    yield vocabulary.first_appearances(train)


def index_items(
    parts: Sequence[Appearances], items: tuple[pa.StringArray, dict[str, int]]
) -> Iterator[np.ndarray]:
    """Merge all first appearances -> item indices, 0 for items that train never has."""
    yield vocabulary.assign_item_indices(parts, len(items[0]))


def encode_sessions(
    filtered: MaybeSpilled[SessionColumns],
    settings: Settings,
    spill: Spill,
    span: tuple[Span, dict[str, int]],
    indices: np.ndarray,
) -> Iterator[Any]:
    """Encode sessions -> `(part, sessions)` of item indices; summary: `(part, histogram)`."""
    train, test = protocol.split_train_test(take(filtered), span[0].boundary)
    parts = protocol.index_items(train, test, indices, settings)
    for part, encoded in zip(("train", "test"), parts, strict=True):
        yield _Summary((part, splits.histogram(encoded, span[0])))
        yield part, spill.put(encoded)


def plan_ranges(
    histograms: Sequence[tuple[str, np.ndarray]], settings: Settings
) -> Iterator[dict[str, Ranges]]:
    """Plan the ranges of train and test from all histograms."""
    fractions = {"train": settings.train_fraction, "test": "1"}
    yield {
        part: splits.plan_ranges(
            np.sum([counts for name, counts in histograms if name == part], axis=0), fraction
        )
        for part, fraction in fractions.items()
    }


def split_into_ranges(
    part: tuple[str, MaybeSpilled[SessionColumns]],
    spill: Spill,
    is_shared: bool,
    span: tuple[Span, dict[str, int]],
    ranges: dict[str, Ranges],
) -> Iterator[tuple[tuple[str, int], MaybeSpilled[SessionColumns]]]:
    """Split `(part, sessions)` -> `((part, range), sessions)`."""
    name, spilled = part
    encoded = peek(spilled) if is_shared else take(spilled)
    for index, piece in splits.split_into_ranges(encoded, span[0], ranges[name]):
        yield (name, index), spill.put(piece)


def sort_range(
    pieces: tuple[tuple[str, int], Iterable[MaybeSpilled[SessionColumns]]],
    spill: Spill,
    ranges: dict[str, Ranges],
) -> Iterator[Any]:
    """Sort `((part, range), pieces)` -> `((part, range), sessions)`; summary: their number."""
    key, parts = pieces
    ordered = sort_by_date(concatenate(list(map(take, parts))))
    ordered = protocol.select_latest_examples(ordered, int(ranges[key[0]].quota[key[1]]))
    yield _Summary((key, len(ordered)))
    yield key, spill.put(ordered)


def rank_ranges(
    counts: Sequence[tuple[tuple[str, int], int]], settings: Settings
) -> Iterator[Ranks]:
    """Rank the ranges by all numbers of sessions."""
    yield splits.rank(counts, settings.validation_fraction, settings.shards)


def split_into_shards(
    ordered: tuple[tuple[str, int], MaybeSpilled[SessionColumns]], spill: Spill, ranks: Ranks
) -> Iterator[tuple[tuple[str, int], tuple[int, MaybeSpilled[SessionColumns]]]]:
    """Split `((part, range), sessions)` -> `((split, shard), (rank, sessions))`."""
    (part, index), spilled = ordered
    for split, shard, first, piece in splits.split_into_shards(part, index, take(spilled), ranks):
        yield (split, shard), (first, spill.put(piece))


def write(
    pieces: tuple[tuple[str, int], Iterable[tuple[int, MaybeSpilled[SessionColumns]]]],
    directory: str,
    settings: Settings,
    ranks: Ranks,
) -> Iterator[Shard]:
    """Write `((split, shard), pieces)` to a file."""
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
    indices: np.ndarray,
    ranges: dict[str, Ranges],
) -> Iterator[None]:
    """Write vocabulary.txt and stats.json after all shards."""
    stats.write_vocabulary(directory, items[0], indices)
    stats.write_stats(
        directory, settings, rows, span[1], ranges, int(indices.max(initial=0)), shards
    )
    yield None


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
