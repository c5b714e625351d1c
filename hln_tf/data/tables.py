"""Tables of clicks as the arguments of the front door: a data set, or sessions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hln_tf.data.dataset import SessionDataset, protocol_settings

_NAMES = "item=..., time=... and session=... or user=..."


def is_table(data: Any) -> bool:
    """Check that data are a table of clicks, with columns, rather than sessions."""
    return hasattr(data, "columns") or hasattr(data, "column_names")


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table of clicks, as `SessionDataset.from_clicks` takes them.

    Attributes:
      item: Column of the item, or several.
      time: Column of the time.
      session: Column of the session, or None.
      user: Column of the user, or None.
    """

    item: str | Sequence[str] | None = None
    time: str | None = None
    session: str | None = None
    user: str | None = None

    def check(self, clicks: Any) -> dict[str, Any]:
        """Return the columns by name, for a table that needs them.

        Args:
          clicks: The table.

        Raises:
          TypeError: It is no table, or it has columns that are not named.
        """
        if self.item is None or self.time is None:
            if not is_table(clicks):
                raise TypeError(
                    f"the clicks are given as {type(clicks).__name__}, expected a table with a "
                    f"row for each click, not sessions, and its columns: {_NAMES}"
                )
            raise TypeError(f"a table of clicks needs its columns: {_NAMES}")
        return dataclasses.asdict(self)


def dataset_of_clicks(
    clicks: Any,
    columns: Columns,
    protocol: Mapping[str, Any],
    known_items: Sequence[str] = (),
    separator: str = " ",
) -> SessionDataset:
    """Make a data set of a table of clicks, without a test part by default.

    Args:
      clicks: The table, or a data set, whose catalogue begins with the known items
        if there are any.
      columns: Its columns.
      protocol: `separator` and fields of `ProtocolSettings`; None for the default.
      known_items: As for `SessionDataset.from_clicks`.
      separator: The default for a table.

    Raises:
      TypeError: A table has no column, or a data set has one.
      HlnError: The clicks cannot be used.
    """
    given = {name: value for name, value in protocol.items() if value is not None}
    if isinstance(clicks, SessionDataset):
        names = {name: value for name, value in vars(columns).items() if value is not None}
        if names or given:
            raise TypeError(
                f"a SessionDataset has its columns and protocol: leave out "
                f"{', '.join([*names, *given])}"
            )
        return clicks.with_items(known_items) if known_items else clicks
    named = columns.check(clicks)
    return SessionDataset.from_clicks(
        clicks,
        **named,
        known_items=known_items,
        **{"test_seconds": 0, "separator": separator, **given},
    )


def sessions_of_clicks(
    clicks: Any, columns: Columns, timeout: Any = 0, separator: str = " "
) -> list[list[str]]:
    """Group a table of clicks into sessions of item ids, none of which is dropped.

    Args:
      clicks: As for `SessionDataset.from_clicks`.
      columns: Its columns.
      timeout: Inactivity that ends a user's session, as `session_timeout` there.
      separator: That of the item ids, which joins no columns of items.

    Raises:
      HlnError: A value cannot be used.
      UsageError: An argument is not allowed.
      TypeError: A column is not named.
    """
    from hln_tf.data import protocol
    from hln_tf.data.frames import clicks_from_frame

    settings = protocol_settings({"session_timeout": timeout})
    table = clicks_from_frame(clicks, **columns.check(clicks), separator=separator)
    if columns.user is not None:
        settings.check_users()
    key, positions = "session" if columns.user is None else "user", np.arange(len(table))
    grouped, ids = protocol.group_clicks(table, key, positions, settings)
    if settings.session_timeout:
        grouped = protocol.split_at_timeouts(grouped, settings.session_timeout)
    names = ids.to_pylist()
    return [
        [names[each] for each in grouped.items[start:end]]
        for start, end in zip(grouped.offsets, grouped.offsets[1:], strict=False)
    ]
