"""Sessions in columns while a protocol is applied to them: selection, order, items."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hln_tf.data.sessions import Sessions, concatenate_extra, select_extra

# Where each part has files of its own, a position is the part (0: train, 1: validation, 2: test)
# above this many bits for the position in the raw log.
PART_BITS = 60


@dataclasses.dataclass(frozen=True)
class SessionColumns:
    """Sessions while a protocol is applied; session i has the clicks `offsets[i]:offsets[i + 1]`.

    Those of a finished data set are `hln_tf.data.sessions.Sessions`.

    Attributes:
      items: Item of each click, int32 [clicks]: an index into the item ids of the
        step, in the last steps the item index.
      offsets: int64 [sessions + 1], from 0.
      dates: Time of each session's last click in seconds since 1970 UTC, int64
        [sessions].
      order: Position in the raw log at which each session first appears, int64
        [sessions]; it decides between sessions of one date. Several sessions of
        a user have the same one; if their dates are equal too, they are next to
        each other and remain as they are.
      times: Time of each click in microseconds, int64 [clicks], until the session
        timeout was applied.
      extra: As in `hln_tf.data.sessions.Sessions`.
    """

    items: np.ndarray
    offsets: np.ndarray
    dates: np.ndarray
    order: np.ndarray
    times: np.ndarray | None = None
    extra: pa.Table | None = None

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
        """Number of examples after prefix augmentation; no session may be empty."""
        return len(self.items) - len(self)

    def finished(self) -> Sessions:
        """Return the sessions of a finished data set."""
        return Sessions(
            self.items.astype(np.int32, copy=False),
            self.offsets.astype(np.int64, copy=False),
            self.dates,
            self.extra,
        )


def select_clicks(sessions: SessionColumns, mask: np.ndarray) -> SessionColumns:
    """Select the clicks where `mask`, bool [clicks], is true; a session may become empty."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return dataclasses.replace(
        sessions,
        items=sessions.items[mask],
        offsets=before[sessions.offsets],
        times=None if sessions.times is None else sessions.times[mask],
        extra=select_extra(sessions.extra, mask),
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
        extra=select_extra(sessions.extra, clicks),
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
        extra=None if sessions.extra is None else sessions.extra.slice(first, last - first),
    )


def concatenate(parts: Sequence[SessionColumns]) -> SessionColumns:
    """Concatenate the sessions of all parts."""
    lengths = np.concatenate([part.lengths for part in parts])
    return SessionColumns(
        items=np.concatenate([part.items for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        dates=np.concatenate([part.dates for part in parts]),
        order=np.concatenate([part.order for part in parts]),
        extra=concatenate_extra([part.extra for part in parts]),
    )


def sort_by_date(sessions: SessionColumns) -> SessionColumns:
    """Sort sessions by date, those of equal dates by first appearance; the sort is stable."""
    order = np.lexsort((sessions.order, sessions.dates))
    lengths = sessions.lengths[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    clicks = np.arange(offsets[-1]) + np.repeat(sessions.offsets[order] - offsets[:-1], lengths)
    return SessionColumns(
        sessions.items[clicks],
        offsets,
        sessions.dates[order],
        sessions.order[order],
        extra=select_extra(sessions.extra, clicks),
    )


def map_items(sessions: SessionColumns, mapping: np.ndarray, missing: int) -> SessionColumns:
    """Replace item i by `mapping[i]`; clicks whose item becomes `missing` are dropped."""
    items = mapping[sessions.items]
    return select_clicks(dataclasses.replace(sessions, items=items), items != missing)
