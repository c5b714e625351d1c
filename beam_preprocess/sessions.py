"""Sessions in columns, and the steps of the protocols on them: NumPy in, NumPy out."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess.times import SECOND, whole_seconds


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Sessions one after the other; session i holds clicks `offsets[i]:offsets[i + 1]`.

    Attributes:
      items: Item codes, int32 [clicks].
      offsets: int64 [sessions + 1], from 0.
      dates: Time of each session's last click in seconds since 1970 UTC, int64
        [sessions].
      order: Place in the raw log where each session first appears, int64
        [sessions]; decides between sessions of one date.
      times: Time of each click in microseconds, int64 [clicks], as long as
        sessions are still to be cut at gaps; `order` may then hold for several sessions of a
        user, whose dates differ.
    """

    items: np.ndarray
    offsets: np.ndarray
    dates: np.ndarray
    order: np.ndarray
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def lengths(self) -> np.ndarray:
        """Clicks of each session, int64 [sessions]."""
        return np.diff(self.offsets)

    @property
    def clicks(self) -> int:
        """Clicks of all sessions."""
        return len(self.items)

    @property
    def prefixes(self) -> int:
        """Samples after prefix augmentation; each session has at least one click."""
        return len(self.items) - len(self)


def group(
    clicks: Iterable[pa.RecordBatch], by_time: bool, keep_times: bool
) -> tuple[Sessions, pa.StringArray]:
    """Groups clicks by session id, wherever they stand.

    Args:
      clicks: Columns `session` and `item` (dictionaries), `time`, `position`;
        positions ascend within a piece, and those of two pieces do not overlap.
      by_time: Whether a session is in order of time, else of position; equal
        times are in order of position.
      keep_times: Whether the sessions carry the time of each click.

    Returns:
      The sessions, and the item ids in order of their code.
    """
    ordered = sorted(clicks, key=lambda piece: piece["position"][0].as_py())
    table = pa.Table.from_batches(ordered).unify_dictionaries().combine_chunks()
    codes = table["session"].combine_chunks().indices.to_numpy()
    ids = table["item"].combine_chunks()
    time = table["time"].to_numpy()
    position = table["position"].to_numpy()
    order = np.lexsort((time, codes)) if by_time else np.argsort(codes, kind="stable")
    codes, time = codes[order], time[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    offsets = np.append(starts, len(codes))
    sessions = Sessions(
        items=ids.indices.to_numpy()[order],
        offsets=offsets,
        dates=whole_seconds(time[offsets[1:] - 1]),
        order=np.minimum.reduceat(position[order], starts),
        times=time if keep_times else None,
    )
    return sessions, ids.dictionary


def select_clicks(sessions: Sessions, kept: np.ndarray) -> Sessions:
    """Keeps the clicks where `kept`, bool [clicks]; a session may become empty."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return dataclasses.replace(
        sessions,
        items=sessions.items[kept],
        offsets=before[sessions.offsets],
        times=None if sessions.times is None else sessions.times[kept],
    )


def select(sessions: Sessions, kept: np.ndarray) -> Sessions:
    """Keeps the sessions where `kept`, bool [sessions]."""
    clicks = np.repeat(kept, sessions.lengths)
    return Sessions(
        items=sessions.items[clicks],
        offsets=np.concatenate([[0], np.cumsum(sessions.lengths[kept])]),
        dates=sessions.dates[kept],
        order=sessions.order[kept],
        times=None if sessions.times is None else sessions.times[clicks],
    )


def select_lengths(sessions: Sessions, shortest: int, longest: int = 0) -> Sessions:
    """Keeps the sessions of `shortest` to `longest` clicks; 0 is no upper limit."""
    lengths = sessions.lengths
    kept = lengths >= shortest
    return select(sessions, kept & (lengths <= longest) if longest else kept)


def rows(sessions: Sessions, start: int, end: int) -> Sessions:
    """The sessions `start` to `end - 1`."""
    first, last = sessions.offsets[start], sessions.offsets[end]
    return Sessions(
        items=sessions.items[first:last],
        offsets=sessions.offsets[start : end + 1] - first,
        dates=sessions.dates[start:end],
        order=sessions.order[start:end],
    )


def concatenated(parts: Sequence[Sessions]) -> Sessions:
    """All sessions of the parts, in their order."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Sessions(
        items=np.concatenate([part.items for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        dates=np.concatenate([part.dates for part in parts]),
        order=np.concatenate([part.order for part in parts]),
    )


def by_date(sessions: Sessions) -> Sessions:
    """The sessions in order of date, equal dates in order of first appearance."""
    order = np.lexsort((sessions.order, sessions.dates))
    lengths = sessions.lengths[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    clicks = np.arange(offsets[-1]) + np.repeat(sessions.offsets[order] - offsets[:-1], lengths)
    return Sessions(sessions.items[clicks], offsets, sessions.dates[order], sessions.order[order])


def split_at_gaps(sessions: Sessions, gap: int) -> Sessions:
    """Cuts a user's clicks into sessions where more than `gap` seconds lie between two."""
    assert sessions.times is not None
    begins = np.diff(sessions.times, prepend=sessions.times[:1]) > gap * SECOND
    begins[sessions.offsets[:-1][sessions.lengths > 0]] = True
    starts = np.flatnonzero(begins)
    offsets = np.append(starts, sessions.clicks)
    user = np.searchsorted(sessions.offsets, starts, "right") - 1
    dates = whole_seconds(sessions.times[offsets[1:] - 1])
    return Sessions(sessions.items, offsets, dates, sessions.order[user])


def collapse_repeats(sessions: Sessions) -> Sessions:
    """Keeps the first of consecutive clicks on one item; the dates stay."""
    kept = np.diff(sessions.items, prepend=-1) != 0
    kept[sessions.offsets[:-1]] = True
    return select_clicks(sessions, kept)


def count_items(items: np.ndarray, ids: pa.StringArray) -> pa.Table:
    """Columns `item` and `count` of the items that occur."""
    counts = np.bincount(items, minlength=len(ids))
    occurs = np.flatnonzero(counts)
    return pa.table({"item": ids.take(pa.array(occurs)), "count": counts[occurs]})


def frequent_items(counts: Sequence[pa.Table], min_count: int, top: int) -> pa.StringArray:
    """The ids of the items to keep, sorted.

    Args:
      counts: Partial counts from `count_items`.
      min_count: Fewest clicks of an item.
      top: Keep this many most frequent items, of equally frequent ones those
        with the smaller ids (in order of their bytes); 0 keeps all.
    """
    if not counts:
        return pa.array([], pa.string())
    total = pa.concat_tables(counts).group_by("item").aggregate([("count", "sum")])
    total = total.filter(pc.greater_equal(total["count_sum"], min_count))
    total = total.sort_by([("count_sum", "descending"), ("item", "ascending")])
    kept = total["item"].slice(0, top) if top else total["item"]
    return kept.take(pc.sort_indices(kept)).combine_chunks()


def recode(sessions: Sessions, ids: pa.StringArray, kept_ids: pa.StringArray) -> Sessions:
    """Keeps the clicks on kept items; item codes become places in `kept_ids`.

    Args:
      sessions: Items are places in `ids`.
      ids: The items' ids.
      kept_ids: Ids of the items to keep.
    """
    found = pc.fill_null(pc.index_in(ids, kept_ids), -1).to_numpy()
    return renumber(sessions, found.astype(np.int32), nothing=-1)


def renumber(sessions: Sessions, numbers: np.ndarray, nothing: int) -> Sessions:
    """Item i becomes `numbers[i]`; clicks whose item becomes `nothing` are dropped."""
    items = numbers[sessions.items]
    return select_clicks(dataclasses.replace(sessions, items=items), items != nothing)
