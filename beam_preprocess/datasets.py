"""The raw logs that preprocessing knows, each with the protocol published for it."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class RowFormat:
    r"""Where a raw row holds what; columns count from 0.

    Attributes:
      delimiter: Separates the columns. Quotes have no meaning.
      columns: Number of columns.
      session: Column of the session id, or of the user id where sessions are
        cut from a user's clicks.
      time: Column of the time.
      item: Columns that name the item, joined by `JOINT`.
      example: A row, for messages.
    """

    delimiter: str
    columns: int
    session: int
    time: int
    item: tuple[int, ...]
    example: str

    @property
    def expected(self) -> str:
        """What a row must look like, for messages."""
        names = {",": "comma", "\t": "tab"}
        return (
            f"expected {self.columns} columns separated by a "
            f"{names.get(self.delimiter, repr(self.delimiter))}, such as {self.example!r}"
        )


JOINT = " / "

YOOCHOOSE = RowFormat(",", 4, 0, 1, (2,), "11411374,2014-09-24T09:58:32.124Z,214853707,0")
LASTFM = RowFormat(
    "\t", 6, 0, 1, (3, 5), "user_000001\t2009-05-04T23:08:57Z\tartist id\tartist\ttrack id\ttrack"
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A named data set: the format of its rows and the settings it changes."""

    rows: RowFormat
    defaults: dict[str, Any]


DATASETS = {
    "sample": Dataset(YOOCHOOSE, {}),
    "yoochoose64": Dataset(YOOCHOOSE, {"train_fraction": "1/64"}),
    "yoochoose4": Dataset(YOOCHOOSE, {"train_fraction": "1/4"}),
    # A song's name may hold spaces but, in a file separated by tabs, no tab.
    "lastfm": Dataset(
        LASTFM,
        {
            "test_seconds": 7 * 86_400,
            "min_item_count": 1,
            "top_items": 40_000,
            "max_session_length": 50,
            "gap": 28_800,
            "collapse_repeats": True,
            "order": "time",
            "window_months": 3,
            "separator": "\t",
        },
    ),
}
