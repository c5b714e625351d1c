"""The steps of the evaluation protocols, pure functions of columns, and all of them in turn.

`prepare_sessions` applies a protocol in memory, in this process. The Beam pipeline of
`beam_preprocess` applies the same steps to parts of a log that are distributed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.common.errors import HlnError
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import (
    SessionColumns,
    map_items,
    select,
    select_clicks,
    select_lengths,
    slice_sessions,
    sort_by_date,
)
from hln_tf.data.sessions import Sessions
from hln_tf.data.times import SECOND, whole_seconds
from hln_tf.data.vocabulary import (
    assign_item_indices,
    count_items,
    first_appearances,
    frequent_items,
    index_known_items,
    list_item_ids,
    select_items,
)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSessions:
    """The parts of a log that a protocol makes.

    Attributes:
      train: Sessions to train on, in order of date.
      validation: The latest sessions of full train.
      test: The latest sessions of the log.
      item_ids: Item ids in order of their indices, which begin at 1.
      clicks_left: Clicks that each filter left, in the order of the filters.
    """

    train: Sessions
    validation: Sessions
    test: Sessions
    item_ids: list[str]
    clicks_left: dict[str, int]


def prepare_sessions(
    clicks: pa.Table,
    settings: ProtocolSettings,
    has_test: bool = True,
    known: Sequence[str] = (),
) -> PreparedSessions:
    """Apply a protocol to the clicks of a log.

    Args:
      clicks: Columns `session` or `user` (string), `time` (int64, microseconds
        since 1970 UTC), `item` (string) and perhaps `rank` (int64), as from
        `hln_tf.data.frames.clicks_from_frame`; rows are in file order.
      settings: The protocol, such as one of
        `hln_tf.data.protocol_settings.PROTOCOLS`.
      has_test: Whether the latest sessions become the test part; without, all
        are full train.
      known: Ids of items that count as frequent and as seen by train, whatever
        their clicks here: a model has learnt them from earlier ones.

    Raises:
      UsageError: The clicks are those of users, and there is no session timeout.
      HlnError: No session is left to train on or to test.
    """
    key = "session" if "session" in clicks.column_names else "user"
    if key == "user":
        settings.check_users()
    clicks_left = {"read": clicks.num_rows}
    window = settings.window()
    if window:
        clicks = select_window(clicks, window)
        clicks_left["in the time window"] = clicks.num_rows
    if not clicks.num_rows:
        raise HlnError(explain_nothing_left(clicks_left))
    positions = np.arange(clicks.num_rows)
    ranks = clicks["rank"].to_numpy() if "rank" in clicks.column_names else None
    grouped, ids = group_clicks(
        clicks[key], clicks["time"], clicks["item"], positions, settings, ranks
    )
    grouped, left = drop_short_sessions(grouped, settings)
    clicks_left |= left
    frequent_ids = frequent_items([count_items(grouped.items, ids)], settings, known)
    filtered, left = filter_sessions(grouped, ids, frequent_ids, settings)
    clicks_left |= left
    if not len(filtered):
        raise HlnError(explain_nothing_left(clicks_left))
    latest = int(filtered.dates.max())
    boundary = Boundary(latest + 1, latest)
    if has_test:
        boundary = find_test_boundary(latest, settings)
    train, test = split_train_test(sort_by_date(filtered), boundary)
    indices = assign_item_indices([first_appearances(train)], len(frequent_ids))
    indices = index_known_items(indices, frequent_ids, known)
    train, test = index_items(train, test, indices, settings)
    examples = count_share(train.prefixes, settings.train_fraction)
    train, validation = split_validation(select_latest_examples(train, examples), settings)
    check_parts({"train": len(train), "test": len(test) if has_test else 1})
    return PreparedSessions(
        train.finished(),
        validation.finished(),
        test.finished(),
        list_item_ids(frequent_ids, indices),
        clicks_left,
    )


def select_window(clicks: pa.Table, window: tuple[int, int]) -> pa.Table:
    """Select the clicks of a time window, `[first, end)` in seconds."""
    first, end = (bound * SECOND for bound in window)
    inside = pc.and_(pc.greater_equal(clicks["time"], first), pc.less(clicks["time"], end))
    return clicks.filter(inside)


def group_clicks(
    session: pa.ChunkedArray,
    time: pa.ChunkedArray,
    item: pa.ChunkedArray,
    position: np.ndarray,
    settings: ProtocolSettings,
    rank: np.ndarray | None = None,
) -> tuple[SessionColumns, pa.StringArray]:
    """Group clicks by session, or by user where a session timeout ends sessions.

    A session is in order of rank, where there is one, then of time or of position
    (`settings.order`); equal times are in order of position.

    Args:
      session: Session or user of each click, strings or a dictionary of them.
      time: Microseconds since 1970 UTC.
      item: Item ids, strings or a dictionary of them.
      position: Position of each click in the log, ascending, int64 [clicks].
      settings: The protocol.
      rank: Rank of each click in its session, int64 [clicks].

    Returns:
      The sessions, and the item ids that their items are indices into.
    """
    sessions = _encode(session).indices.to_numpy()
    items = _encode(item)
    times = time.to_numpy()
    keys = [times] if settings.order == "time" else []
    keys += [] if rank is None else [rank]
    order = np.lexsort((*keys, sessions))
    sessions, times = sessions[order], times[order]
    starts = np.flatnonzero(np.diff(sessions, prepend=-1))
    offsets = np.append(starts, len(sessions))
    grouped = SessionColumns(
        items=items.indices.to_numpy()[order],
        offsets=offsets,
        dates=whole_seconds(times[offsets[1:] - 1]),
        order=np.minimum.reduceat(position[order], starts),
        times=times if settings.session_timeout else None,
    )
    return grouped, items.dictionary


def _encode(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.combine_chunks()


def drop_short_sessions(
    sessions: SessionColumns, settings: ProtocolSettings
) -> tuple[SessionColumns, dict[str, int]]:
    """Drop sessions of too few clicks before items are counted, where the log names sessions.

    Returns:
      The sessions, and the number of their clicks by the filter's description.
    """
    if settings.session_timeout:
        return sessions, {}
    shortest = settings.min_session_length
    sessions = select_lengths(sessions, shortest)
    return sessions, {f"in sessions of {shortest} or more clicks": sessions.clicks}


def filter_sessions(
    sessions: SessionColumns,
    ids: pa.StringArray,
    frequent_ids: pa.StringArray,
    settings: ProtocolSettings,
) -> tuple[SessionColumns, dict[str, int]]:
    """Apply the filters that follow the count of items: items, session timeout, repeats, lengths.

    Args:
      sessions: Their items are indices into `ids`.
      ids: Item ids.
      frequent_ids: Ids of the frequent items, which the items returned are indices into.
      settings: The protocol.

    Returns:
      The sessions, and the number of clicks that each filter left by its description.
    """
    sessions = select_items(sessions, ids, frequent_ids)
    clicks_left = {"of frequent items": sessions.clicks}
    if settings.session_timeout:
        sessions = split_at_timeouts(sessions, settings.session_timeout)
    if settings.collapse_repeats:
        sessions = collapse_repeats(sessions)
        clicks_left["without repeats"] = sessions.clicks
    shortest, longest = settings.min_session_length, settings.max_session_length
    sessions = select_lengths(sessions, shortest, longest)
    lengths = f"{shortest} {f'to {longest}' if longest else 'or more'}"
    clicks_left[f"in sessions of {lengths} clicks after that"] = sessions.clicks
    return sessions, clicks_left


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
    is_first[sessions.offsets[:-1][sessions.lengths > 0]] = True
    return select_clicks(sessions, is_first)


def describe_filters(clicks_left: Mapping[str, int]) -> str:
    """List how many clicks each filter left, in the order of the filters."""
    return ", ".join(f"{clicks:,} {step}" for step, clicks in clicks_left.items())


def explain_nothing_left(clicks_left: Mapping[str, int]) -> str:
    """Describe in one sentence how many clicks each filter removed.

    Args:
      clicks_left: Clicks that each filter left, in the order of the filters.
    """
    return (
        f"no session of the input is left after the filters; clicks left: "
        f"{describe_filters(clicks_left)}; "
        "give a longer log, or lower `min_item_count` or `min_session_length`"
    )


@dataclasses.dataclass(frozen=True)
class Boundary:
    """The dates in seconds that separate test from train; sessions between them are dropped.

    Attributes:
      train_end: Train is strictly before.
      test_after: Test is strictly after.
    """

    train_end: int
    test_after: int


def find_test_boundary(latest: int, settings: ProtocolSettings) -> Boundary:
    """Find the boundary between train and test.

    It is `test_seconds` before the latest date, and sessions of just this date are
    dropped, as the published protocol has it; or it is the first second of
    `test_from`, which belongs to test.

    Args:
      latest: Date of the latest session.
      settings: The protocol.
    """
    begin = settings.test_begin()
    if begin is not None:
        return Boundary(begin, begin - 1)
    return Boundary(latest - settings.test_seconds, latest - settings.test_seconds)


def split_train_test(
    sessions: SessionColumns, boundary: Boundary
) -> tuple[SessionColumns, SessionColumns]:
    """Split sessions into full train and test."""
    return (
        select(sessions, sessions.dates < boundary.train_end),
        select(sessions, sessions.dates > boundary.test_after),
    )


def index_items(
    train: SessionColumns,
    test: SessionColumns,
    indices: np.ndarray,
    settings: ProtocolSettings,
) -> tuple[SessionColumns, SessionColumns]:
    """Replace items by item indices, and drop from test the items that train never saw."""
    return index_train_items(train, indices), index_test_items(test, indices, settings)


def index_train_items(train: SessionColumns, indices: np.ndarray) -> SessionColumns:
    """Replace items by item indices."""
    return map_items(train, indices, missing=0)


def index_test_items(
    test: SessionColumns, indices: np.ndarray, settings: ProtocolSettings
) -> SessionColumns:
    """Replace items by item indices; drop those that train never saw, then short sessions."""
    return select_lengths(map_items(test, indices, missing=0), settings.min_session_length)


def count_share(total: int, fraction: str) -> int:
    """Count the fraction of a total, rounded down."""
    return int(total * Fraction(fraction))


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


def split_validation(
    train: SessionColumns, settings: ProtocolSettings
) -> tuple[SessionColumns, SessionColumns]:
    """Split sessions that are in order into train and the latest ones, the validation part."""
    first = len(train) - count_share(len(train), settings.validation_fraction)
    return slice_sessions(train, 0, first), slice_sessions(train, first, len(train))


def check_parts(sessions: Mapping[str, int]) -> None:
    """Check that there are sessions to train on and to test.

    Args:
      sessions: Number of sessions of `train` and `test`.

    Raises:
      HlnError: One has none.
    """
    remedies = {
        "train": "lower `test_seconds` (or set a later `test_from`), raise `train_fraction` "
        "or give a longer log",
        "test": "raise `test_seconds` (or set an earlier `test_from`) or give a longer log",
    }
    for name, remedy in remedies.items():
        if not sessions[name]:
            raise HlnError(f"the {name} part is empty after all filters: {remedy}")
