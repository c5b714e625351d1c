"""The format of a click log: one typed description for built-in and for custom logs."""

import dataclasses

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_DELIMITER_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", " ": "a space"}
TIMES = {
    "iso": "ISO 8601 such as 2014-09-24T09:58:32.124Z",
    "seconds": "seconds since 1970 such as 1411552712",
    "milliseconds": "milliseconds since 1970 such as 1411552712124",
}


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """The columns of a log and the way its rows are written.

    A column goes by its name, or by its number from 1 where the file names no
    columns. Ids are taken as text.
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
    session: str = setting("", "column of the session id")
    user: str = setting(
        "", "instead of session, column of the user id: `session_timeout` ends sessions"
    )
    time: str = setting("", "column of the time")
    time_format: str = setting(
        "iso",
        "ISO 8601 (UTC where it names no offset), or seconds or milliseconds since 1970",
        choices=tuple(TIMES),
    )
    item: tuple[str, ...] = setting((), "column of the item id, or a list of columns, joined")
    example: str = setting("", "a row, for error messages")

    def __post_init__(self) -> None:
        checked(self)
        if bool(self.session) == bool(self.user):
            raise UsageError(
                f"session and user are {'both' if self.user else 'neither'} given, expected the "
                "column of the session id or, with `session_timeout`, that of the user id"
            )
        for name, what in (("time", "the time"), ("item", "the item id")):
            if not getattr(self, name):
                raise UsageError(f"{name} is missing, expected the column of {what}")
        if len(set(self.item)) < len(self.item) or not all(
            isinstance(column, str) and column for column in self.item
        ):
            raise UsageError(f"item is {list(self.item)}, expected a column, or several, each once")
        if len(self.delimiter) > 1 or self.delimiter in ('"', "\n", "\r"):
            raise UsageError(f"delimiter is {self.delimiter!r}, expected one character")
        if self.delimiter and not self.is_separated:
            raise UsageError(f"delimiter is {self.delimiter!r}, but {self.format} has none")

    @property
    def is_separated(self) -> bool:
        """True where rows are columns with delimiters between them."""
        return self.format in _DELIMITERS

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
    def used(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.session or self.user, self.time, *self.item)

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
            return f"expected {shape}, such as {self.example!r}"
        names = ", ".join(map(repr, (self.session or self.user, *self.item)))
        return (
            f"expected {shape}, the time in {self.time!r} as {TIMES[self.time_format]}, "
            f"and neither nothing nor a line break in {names}"
        )
