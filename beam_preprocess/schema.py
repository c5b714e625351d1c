"""The columns of a file, found by the names or numbers in a log's format."""

import dataclasses
import re
from collections.abc import Sequence

from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError

_SHOWN = 30  # columns that a message shows
_RECBOLE = re.compile(r"[^:]+:(token|float)(_seq)?")  # a name with its type, such as item_id:token


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a file that hold session, time and item.

    Attributes:
      log: The format of the log.
      names: All columns of the file; their numbers where it does not name them.
      key: Index of the session or user id in `names`, from 0.
      time: Index of the time.
      item: Indices of the columns that name the item.
      added: Index of the column that is added to the time, or None.
      rank: Index of the column that orders the clicks of a session, or None.
      where: Indices of the columns of conditions, each with the values that it may have.
      extra: Indices of the extra columns, in the order of `log.extra`.
    """

    log: LogFormat
    names: tuple[str, ...]
    key: int
    time: int
    item: tuple[int, ...]
    added: int | None = None
    rank: int | None = None
    where: tuple[tuple[int, tuple[str, ...]], ...] = ()
    extra: tuple[int, ...] = ()

    @classmethod
    def find(cls, log: LogFormat, names: Sequence[str], path: str) -> "Schema":
        """Find the columns of `log` among the columns `names` of the file at `path`.

        Raises:
          HlnError: One is missing, or its name occurs twice.
        """
        index = {column: _index(column, names, log, path) for column in log.used}
        return cls(
            log,
            tuple(names),
            key=index[log.key],
            time=index[log.time],
            item=tuple(index[column] for column in log.item),
            added=index[log.time_added] if log.time_added else None,
            rank=index[log.rank] if log.rank else None,
            where=tuple((index[name], values) for name, values in log.conditions.items()),
            extra=tuple(index[column] for column in log.extra),
        )

    @property
    def needed(self) -> tuple[int, ...]:
        """Indices of the columns that a click has a value of, each once."""
        more = (index for index in (self.added, self.rank) if index is not None)
        return tuple(dict.fromkeys((self.key, self.time, *more, *self.item)))

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the columns that are read, each once."""
        more = (index for index, _ in self.where)
        return tuple(dict.fromkeys((*self.needed, *more, *self.extra)))

    def explain(self, hint: str) -> str:
        """Describe a well-formed row, for messages.

        Args:
          hint: What seems wrong with a malformed one; may be empty.
        """
        return "; ".join(filter(None, (self.log.expected(len(self.names)), hint)))


def _index(column: str, names: Sequence[str], log: LogFormat, path: str) -> int:
    if list(names).count(column) > 1:
        raise HlnError(f"{path} has two columns {column!r}: name one otherwise, or give its number")
    if column in names:
        return names.index(column)
    typed = [name for name in names if _RECBOLE.fullmatch(name) and name.startswith(f"{column}:")]
    if len(typed) == 1:
        return names.index(typed[0])
    if log.format != "jsonl" and column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    known = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    place = "with `extra_columns`" if column in log.extra else "in the spec"
    raise HlnError(
        f"{path} has no column {column!r}; its columns are {known or 'none'}: "
        f"name one of them {place}{_doubt(names, log)}"
    )


def _doubt(names: Sequence[str], log: LogFormat) -> str:
    """Return in brackets why names are perhaps none, or an empty text."""
    if not log.is_separated:
        return ""
    if names and names[0].startswith(("{", "[")):
        return " (or is it JSON lines? format: jsonl)"
    if log.header and any(name.replace(".", "").isdecimal() for name in names):
        return " (or is the first row no header? header: false)"
    others = [each for each in ",;\t|" if each != log.between]
    if len(names) == 1 or any(each in name for name in names for each in others):
        return " (or is the delimiter another one?)"
    return ""
