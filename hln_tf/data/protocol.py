"""The steps of the evaluation protocols, pure functions of columns, and all of them in turn.

`prepare_sessions` applies a protocol in memory, in this process. The Beam pipeline of
`beam_preprocess` applies the same steps to parts of a log that are distributed.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.common.errors import HlnError
from hln_tf.data.boundaries import (
    boundary_rank,
    count_share,
    find_boundary,
    split_parts,
    split_validation,
)
from hln_tf.data.layout import EXTRA_PREFIX
from hln_tf.data.parts import BUCKETS, PartShape, buckets, check_parts, warn_of_parts
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import (
    PART_BITS,
    SessionColumns,
    map_items,
    select,
    select_clicks,
    select_lengths,
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
      without_index: Counts of test clicks on items that full train lacks, see
        `index_test_items`; empty without a test part.
      warnings: What is unlikely to be meant, one sentence each.
    """

    train: Sessions
    validation: Sessions
    test: Sessions
    item_ids: list[str]
    clicks_left: dict[str, int]
    without_index: dict[str, int]
    warnings: list[str]


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
        `hln_tf.data.frames.clicks_from_frame`; rows are in file order. With
        `part_files` also `part` (int64; 0: train, 1: validation, 2: test), and of
        `extra_columns` each (large_string), named with `EXTRA_PREFIX`.
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
    if settings.part_files:
        positions += clicks["part"].to_numpy() << PART_BITS
    grouped, ids = group_clicks(clicks, key, positions, settings)
    grouped, left = drop_short_sessions(grouped, settings)
    clicks_left |= left
    frequent_ids = frequent_items([count_items(grouped.items, ids)], settings, known)
    filtered, left = filter_sessions(grouped, ids, frequent_ids, settings)
    clicks_left |= left
    if not len(filtered):
        raise HlnError(explain_nothing_left(clicks_left))
    ordered = sort_by_date(filtered)
    first, latest = int(ordered.dates[0]), int(ordered.dates[-1])
    rank = boundary_rank(len(ordered), settings) if has_test else None
    date = latest if rank is None else int(ordered.dates[rank])
    boundary = find_boundary(date, settings, has_test)
    parts = split_parts(ordered, boundary, settings)
    dates = np.concatenate([part.dates for part in parts.values()])
    counts = np.bincount(buckets(dates, first, latest), minlength=BUCKETS)
    full_train = [part for name, part in parts.items() if name != "test"]
    indices = assign_item_indices(
        [first_appearances(part) for part in full_train], len(frequent_ids)
    )
    indices = index_known_items(indices, frequent_ids, known)
    for name in parts.keys() - {"test"}:
        parts[name] = index_train_items(parts[name], indices)
    parts["test"], without_index = index_test_items(parts["test"], indices, settings)
    examples = count_share(parts["train"].prefixes, settings.train_fraction)
    parts["train"] = select_latest_examples(parts["train"], examples)
    if settings.validation_is_fraction:
        parts["train"], parts["validation"] = split_validation(parts["train"], settings)
    if not has_test:
        without_index = {}
    check_parts(
        {name: len(part) for name, part in parts.items()} | ({} if has_test else {"test": 1}),
        settings.has_validation,
    )
    shapes = {
        name: PartShape.from_columns(parts[name].lengths, parts[name].dates)
        for name in ("train", "validation", "test")
    }
    return PreparedSessions(
        parts["train"].finished(),
        parts["validation"].finished(),
        parts["test"].finished(),
        list_item_ids(frequent_ids, indices),
        clicks_left,
        without_index,
        warn_of_parts(shapes, counts, first, latest),
    )


def select_window(clicks: pa.Table, window: tuple[int, int]) -> pa.Table:
    """Select the clicks of a time window, `[first, end)` in seconds."""
    first, end = (bound * SECOND for bound in window)
    inside = pc.and_(pc.greater_equal(clicks["time"], first), pc.less(clicks["time"], end))
    return clicks.filter(inside)


def group_clicks(
    clicks: pa.Table, key: str, position: np.ndarray, settings: ProtocolSettings
) -> tuple[SessionColumns, pa.StringArray]:
    """Group clicks by session, or by user where a session timeout ends sessions.

    A session is in order of rank, where there is one, then of time or of position
    (`settings.order`); equal times are in order of position.

    Args:
      clicks: As for `prepare_sessions`; ids may be dictionaries of strings.
      key: The column of the session or user.
      position: Position of each click in the log, ascending, int64 [clicks].
      settings: The protocol.

    Returns:
      The sessions, and the item ids that their items are indices into.
    """
    sessions = _encode(clicks[key]).indices.to_numpy()
    if settings.part_files:  # the same id in two parts names two sessions
        sessions = sessions.astype(np.int64) << 2 | position >> PART_BITS
    items = _encode(clicks["item"])
    times = clicks["time"].to_numpy()
    keys = [times] if settings.order == "time" else []
    keys += [clicks["rank"].to_numpy()] if "rank" in clicks.column_names else []
    extra = [name for name in clicks.column_names if name.startswith(EXTRA_PREFIX)]
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
        extra=clicks.select(extra).take(order) if extra else None,
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
    order = sessions.order[user]
    return SessionColumns(sessions.items, offsets, dates, order, extra=sessions.extra)


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


def index_train_items(train: SessionColumns, indices: np.ndarray) -> SessionColumns:
    """Replace items by item indices."""
    return map_items(train, indices, missing=0)


def index_test_items(
    test: SessionColumns, indices: np.ndarray, settings: ProtocolSettings
) -> tuple[SessionColumns, dict[str, int]]:
    """Replace items by item indices; those that full train lacks are dropped or become 0.

    Returns:
      The sessions, without those that dropping made too short, and the counts `clicks`
      (all of the part before), `unseen_clicks` (of items that full train lacks),
      `unseen_targets` (those that are not the first of a session) and
      `dropped_sessions`.
    """
    unseen = indices[test.items] == 0
    is_target = np.ones(test.clicks, bool)
    is_target[test.offsets[:-1]] = False
    drops = settings.unseen_targets == "drop"
    found = map_items(test, indices, missing=0 if drops else -1)
    if drops:
        found = select_lengths(found, settings.min_session_length)
    return found, {
        "clicks": test.clicks,
        "unseen_clicks": int(unseen.sum()),
        "unseen_targets": int((unseen & is_target).sum()),
        "dropped_sessions": len(test) - len(found),
    }


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
