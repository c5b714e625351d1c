"""The format of a click log: one typed description for built-in and for custom logs."""

import dataclasses
import zoneinfo

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.data.time_patterns import TIMES, TimeFormat, compile_pattern

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_DELIMITER_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", " ": "a space"}
_NESTED = ("jsonl", "parquet")  # formats whose values may be objects and lists
LIST = "[]"  # behind the name of a list each element of which is a row
# As pandas has them, and \N, which databases write.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "\\N"),
)


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """The columns of a log and the way its rows are written.

    A column goes by its name, or by its number from 1 where the file names no
    columns. In JSON lines and Parquet `event.item` is the key `item` of the object
    `event`, and `events[].item` that of each object of the list `events`, which are
    rows of their own. Ids are taken as text.
    """

    format: str = setting("csv", "how rows are written", choices=("csv", "tsv", "jsonl", "parquet"))
    header: bool = setting(True, "CSV and TSV: the first row of each file names the columns")
    delimiter: str = setting(
        "", "CSV and TSV: the character between columns; by default a comma and a tab"
    )
    quotes: bool | None = setting(
        None,
        'CSV and TSV: "quoted" fields may hold delimiters and line breaks, as in RFC 4180; '
        "by default in CSV only",
    )
    columns: int = setting(
        0, "without header: number of columns; 0: as many as the first row has", minimum=0
    )
    session: str = setting(
        "", "column of the session id: its name or, without a header, its number from 1"
    )
    user: str = setting(
        "", "instead of session, column of the user id: `session_timeout` ends sessions"
    )
    time: str = setting("", "column of the time")
    time_format: str = setting(
        "iso", "ISO 8601, month/day/year, or the unit of numbers since 1970", choices=tuple(TIMES)
    )
    time_pattern: str = setting(
        "", "instead of time_format, the time as strptime has it, such as '%d.%m.%Y %H:%M:%S'"
    )
    time_zone: str = setting(
        "", "time zone of times that name none, such as Europe/Berlin; by default UTC"
    )
    time_added: str = setting(
        "", "column that is added to the time: milliseconds, or a time of day such as 09:58:32"
    )
    rank: str = setting(
        "",
        "column of whole numbers that order the clicks of a session; those of equal numbers are in "
        "the protocol's order",
    )
    item: tuple[str, ...] = setting(
        (),
        "column of the item id, or a list of columns, joined; in JSON lines and Parquet also such "
        "as event.item of an object, or events[].item of each object in a list",
    )
    where: tuple[str, ...] = setting(
        (),
        "rows to read, such as 'event == view'; of several conditions on a column one must be "
        "true, of those on several columns all",
    )
    missing: tuple[str, ...] = setting(
        MISSING,
        "all values that mean none, the empty one too if '' is among them: rows without an id or a "
        "time are left out, with a warning",
    )
    example: str = setting("", "a row, for error messages")
    extra: tuple[str, ...] = ()  # not of the format: `extra_columns` of the protocol

    def __post_init__(self) -> None:
        checked(self)
        if bool(self.session) == bool(self.user):
            raise UsageError(
                f"session and user are {'both' if self.user else 'neither'} given, expected the "
                "column of the session id or, with `session_timeout`, that of the user id"
            )
        if self.rank and self.user:
            raise UsageError("rank orders the clicks of a session, but the log names users")
        for name, what in (("time", "the time"), ("item", "the item id")):
            if not getattr(self, name):
                raise UsageError(f"{name} is missing, expected the column of {what}")
        if len(set(self.item)) < len(self.item) or not all(
            isinstance(column, str) and column for column in self.item
        ):
            raise UsageError(f"item is {list(self.item)}, expected a column, or several, each once")
        if len(self.delimiter.encode()) > 1 or self.delimiter in ('"', "\n", "\r"):
            raise UsageError(
                f"delimiter is {self.delimiter!r}, expected one character of ASCII; where it is "
                "'::', give ':', with an empty column after each"
            )
        if self.delimiter and not self.is_separated:
            raise UsageError(f"delimiter is {self.delimiter!r}, but {self.format} has none")
        if not all(isinstance(value, str) for value in self.missing):
            raise UsageError(
                f"missing is {list(self.missing)}, expected texts, as 'NULL' in a spec"
            )
        self._check_times()
        self._check_lists()

    def _check_times(self) -> None:
        if self.time_pattern:
            compile_pattern(self.time_pattern)
        if self.time_zone:
            try:
                zoneinfo.ZoneInfo(self.time_zone)
            except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
                raise UsageError(
                    f"time_zone is {self.time_zone!r}, expected a name such as Europe/Berlin of a "
                    "time zone that this system knows (or pip install tzdata)"
                ) from None

    def _check_lists(self) -> None:
        columns = [each for each in self.used if LIST in each and self.is_nested]
        lists = {column.partition(LIST)[0] for column in columns}
        if len(lists) > 1 or any(column.count(LIST) > 1 for column in columns):
            raise UsageError(
                f"the columns {', '.join(columns)} are in several lists, expected those of one, "
                f"such as events{LIST}.item and events{LIST}.time"
            )
        if lists and not self.events:
            raise UsageError(
                f"`extra_columns` names {columns[0]}, of which a click may have several values: "
                "name columns that have one for each click"
            )

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """The values that `where` allows, by column.

        Raises:
          UsageError: A condition is no `column == value`.
        """
        found: dict[str, tuple[str, ...]] = {}
        for condition in self.where:
            column, equal, value = (part.strip() for part in str(condition).partition("=="))
            if not (column and equal and value):
                raise UsageError(f"where is {condition!r}, expected such as 'event == view'")
            if value[0] in "'\"" and value[-1] == value[0] and len(value) > 2:
                value = value[1:-1]
            found[column] = (*found.get(column, ()), value)
        return found

    @property
    def times(self) -> TimeFormat:
        """The way times are written."""
        return TimeFormat(self.time_format, self.time_pattern, self.time_zone)

    @property
    def is_separated(self) -> bool:
        """True where rows are columns with delimiters between them."""
        return self.format in _DELIMITERS

    @property
    def is_nested(self) -> bool:
        """True where values may be objects and lists."""
        return self.format in _NESTED

    @property
    def between(self) -> str:
        """The character between columns."""
        return self.delimiter or _DELIMITERS[self.format]

    @property
    def is_quoted(self) -> bool:
        """True where fields may be quoted, and then hold line breaks."""
        if not self.is_separated:
            return False
        return self.format == "csv" if self.quotes is None else self.quotes

    @property
    def quoted_between(self) -> str:
        """The character between fields that may be quoted; empty where they may not."""
        return self.between if self.is_quoted else ""

    @property
    def key(self) -> str:
        """The column of the session or user id."""
        return self.session or self.user

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        return tuple(dict.fromkeys((*self._of_clicks, *self.extra)))

    @property
    def _of_clicks(self) -> tuple[str, ...]:
        """The columns that make a row a click."""
        more = filter(None, (self.time_added, self.rank))
        return (self.key, self.time, *more, *self.item, *self.conditions)

    @property
    def events(self) -> str:
        """The name of the list each element of which is a row; empty where there is none."""
        lists = (each.partition(LIST)[0] for each in self._of_clicks if LIST in each)
        return next(lists, "") if self.is_nested else ""

    def expected(self, columns: int) -> str:
        """Describe a well-formed row, for messages.

        Args:
          columns: Number of columns of the file.
        """
        if self.is_separated:
            between = _DELIMITER_NAMES.get(self.between, repr(self.between))
            shape = f"{columns} columns separated by {between}"
        else:
            shape = "a JSON object" if self.format == "jsonl" else "a row"
        if self.example:
            return f"expected {shape}, such as {self.example!r}, no id empty"
        names = ", ".join(map(repr, self.item))
        times = self.time_pattern or TIMES[self.time_format]
        return (
            f"expected {shape}, the time in {self.time!r} as {times}, and no line break in {names}"
        )
