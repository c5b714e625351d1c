"""The columns of a file, found by the names or numbers in a log's format."""

import dataclasses
from collections.abc import Sequence

from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError

_SHOWN = 30  # columns that a message shows


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a file that hold session, time and item.

    Attributes:
      log: The format of the log.
      names: All columns of the file; their numbers where it does not name them.
      key: Index of the session or user id in `names`, from 0.
      time: Index of the time.
      item: Indices of the columns that name the item.
    """

    log: LogFormat
    names: tuple[str, ...]
    key: int
    time: int
    item: tuple[int, ...]

    @classmethod
    def find(cls, log: LogFormat, names: Sequence[str], path: str) -> "Schema":
        """Find the columns of `log` among the columns `names` of the file at `path`.

        Raises:
          HlnError: One is missing, or its name occurs twice.
        """
        key, time, *item = (_index(column, names, log, path) for column in log.used)
        return cls(log, tuple(names), key, time, tuple(item))

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the columns that are read, each once."""
        return tuple(dict.fromkeys((self.key, self.time, *self.item)))

    @property
    def expected(self) -> str:
        """Description of a well-formed row, for messages."""
        return self.log.expected(len(self.names))


def _index(column: str, names: Sequence[str], log: LogFormat, path: str) -> int:
    if list(names).count(column) > 1:
        raise HlnError(f"{path} has two columns {column!r}: name one otherwise, or give its number")
    if column in names:
        return names.index(column)
    if log.format != "jsonl" and column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    known = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    remedy = " (or is the delimiter another one?)" if len(names) == 1 and log.is_separated else ""
    raise HlnError(
        f"{path} has no column {column!r}; its columns are {known or 'none'}: "
        f"name one of them in the spec{remedy}"
    )
