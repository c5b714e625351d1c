"""Sessions in columns, and the steps of the protocols on them: NumPy in, NumPy out."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_preprocess.times import SECOND, whole_seconds


@dataclasses.dataclass(frozen=True)
class SessionColumns:
    """Sessions during preprocessing; session i has the clicks `offsets[i]:offsets[i + 1]`.

    Those of a finished data set are `hln_tf.data.sessions.Sessions`.

    Attributes:
      items: Item of each click, int32 [clicks]: an index into the item ids of the
        step, in the last steps the item index.
      offsets: int64 [sessions + 1], from 0.
      dates: Time of each session's last click in seconds since 1970 UTC, int64
        [sessions].
      order: Position in the raw log at which each session first appears, int64
        [sessions]; it decides between sessions of one date.
      times: Time of each click in microseconds, int64 [clicks], until the session
        timeout was applied; `order` may then be that of several sessions of a user,
        whose dates differ.
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


def group(
    clicks: Iterable[pa.RecordBatch], by_time: bool, with_times: bool
) -> tuple[SessionColumns, pa.StringArray]:
    """Group clicks by session id, wherever they are in the log.

    Args:
      clicks: Columns `session` and `item` (dictionaries), `time`, `position`;
        positions ascend within a piece, and those of two pieces do not overlap.
      by_time: Whether a session is in order of time, else of position; equal
        times are in order of position.
      with_times: Whether the sessions have the time of each click.

    Returns:
      The sessions, and the item ids that their items are indices into.
    """
    ordered = sorted(clicks, key=lambda piece: piece["position"][0].as_py())
    table = pa.Table.from_batches(ordered).unify_dictionaries().combine_chunks()
    session = table["session"].combine_chunks().indices.to_numpy()
    item = table["item"].combine_chunks()
    time = table["time"].to_numpy()
    position = table["position"].to_numpy()
    order = np.lexsort((time, session)) if by_time else np.argsort(session, kind="stable")
    session, time = session[order], time[order]
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    offsets = np.append(starts, len(session))
    sessions = SessionColumns(
        items=item.indices.to_numpy()[order],
        offsets=offsets,
        dates=whole_seconds(time[offsets[1:] - 1]),
        order=np.minimum.reduceat(position[order], starts),
        times=time if with_times else None,
    )
    return sessions, item.dictionary


def select_clicks(sessions: SessionColumns, mask: np.ndarray) -> SessionColumns:
    """Select the clicks where `mask`, bool [clicks], is true; a session may become empty."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return dataclasses.replace(
        sessions,
        items=sessions.items[mask],
        offsets=before[sessions.offsets],
        times=None if sessions.times is None else sessions.times[mask],
    )


def select(sessions: SessionColumns, mask: np.ndarray) -> SessionColumns:
    """Select the sessions where `mask`, bool [sessions], is true."""
    clicks = np.repeat(mask, sessions.lengths)
    return SessionColumns(
        items=sessions.items[clicks],
        offsets=np.concatenate([[0], np.cumsum(sessions.lengths[mask])]),
        dates=sessions.dates[mask],
        order=sessions.order[mask],
        times=None if sessions.times is None else sessions.times[clicks],
    )


def select_lengths(sessions: SessionColumns, shortest: int, longest: int = 0) -> SessionColumns:
    """Select the sessions of `shortest` to `longest` clicks; 0 is no upper limit."""
    lengths = sessions.lengths
    mask = lengths >= shortest
    return select(sessions, mask & (lengths <= longest) if longest else mask)


def slice_sessions(sessions: SessionColumns, start: int, end: int) -> SessionColumns:
    """Select the sessions `start` to `end - 1`."""
    first, last = sessions.offsets[start], sessions.offsets[end]
    return SessionColumns(
        items=sessions.items[first:last],
        offsets=sessions.offsets[start : end + 1] - first,
        dates=sessions.dates[start:end],
        order=sessions.order[start:end],
    )


def concatenate(parts: Sequence[SessionColumns]) -> SessionColumns:
    """Concatenate the sessions of all parts."""
    lengths = np.concatenate([part.lengths for part in parts])
    return SessionColumns(
        items=np.concatenate([part.items for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        dates=np.concatenate([part.dates for part in parts]),
        order=np.concatenate([part.order for part in parts]),
    )


def sort_by_date(sessions: SessionColumns) -> SessionColumns:
    """Sort sessions by date, those of equal dates by first appearance."""
    order = np.lexsort((sessions.order, sessions.dates))
    lengths = sessions.lengths[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    clicks = np.arange(offsets[-1]) + np.repeat(sessions.offsets[order] - offsets[:-1], lengths)
    return SessionColumns(
        sessions.items[clicks], offsets, sessions.dates[order], sessions.order[order]
    )


def split_at_timeouts(sessions: SessionColumns, session_timeout: int) -> SessionColumns:
    """Cut a user's clicks into sessions at inactivity of more than `session_timeout` seconds."""
    assert sessions.times is not None
    begins = np.diff(sessions.times, prepend=sessions.times[:1]) > session_timeout * SECOND
    begins[sessions.offsets[:-1][sessions.lengths > 0]] = True
    starts = np.flatnonzero(begins)
    offsets = np.append(starts, sessions.clicks)
    user = np.searchsorted(sessions.offsets, starts, "right") - 1
    dates = whole_seconds(sessions.times[offsets[1:] - 1])
    return SessionColumns(sessions.items, offsets, dates, sessions.order[user])


def collapse_repeats(sessions: SessionColumns) -> SessionColumns:
    """Drop all but the first of consecutive clicks on one item; dates do not change."""
    is_first = np.diff(sessions.items, prepend=-1) != 0
    is_first[sessions.offsets[:-1]] = True
    return select_clicks(sessions, is_first)


def count_items(items: np.ndarray, ids: pa.StringArray) -> pa.Table:
    """Count the items that occur, in the columns `item` and `count`."""
    counts = np.bincount(items, minlength=len(ids))
    occurs = np.flatnonzero(counts)
    return pa.table({"item": ids.take(pa.array(occurs)), "count": counts[occurs]})


def frequent_items(counts: Sequence[pa.Table], min_count: int, top: int) -> pa.StringArray:
    """Select the item ids that the filters on item counts retain, and sort them.

    Args:
      counts: Partial counts from `count_items`.
      min_count: Fewest clicks of an item.
      top: Retain this many most frequent items, of equally frequent ones those
        with the smaller ids (in order of their bytes); 0 retains all.
    """
    if not counts:
        return pa.array([], pa.string())
    total = pa.concat_tables(counts).group_by("item").aggregate([("count", "sum")])
    total = total.filter(pc.greater_equal(total["count_sum"], min_count))
    total = total.sort_by([("count_sum", "descending"), ("item", "ascending")])
    ids = total["item"].slice(0, top) if top else total["item"]
    return ids.take(pc.sort_indices(ids)).combine_chunks()


def select_items(
    sessions: SessionColumns, ids: pa.StringArray, frequent_ids: pa.StringArray
) -> SessionColumns:
    """Drop the clicks on items that are not frequent, and index the others anew.

    Args:
      sessions: Their items are indices into `ids`.
      ids: Item ids.
      frequent_ids: Ids of the frequent items, which the items returned are indices into.
    """
    indices = pc.fill_null(pc.index_in(ids, frequent_ids), -1).to_numpy()
    return map_items(sessions, indices.astype(np.int32), missing=-1)


def map_items(sessions: SessionColumns, mapping: np.ndarray, missing: int) -> SessionColumns:
    """Replace item i by `mapping[i]`; clicks whose item becomes `missing` are dropped."""
    items = mapping[sessions.items]
    return select_clicks(dataclasses.replace(sessions, items=items), items != missing)
