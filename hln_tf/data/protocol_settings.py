"""The constants of the evaluation protocols, and their values for the known data sets.

This module imports neither NumPy nor pyarrow, so that a command can print its help at once.
"""

import dataclasses
import datetime
from fractions import Fraction
from typing import Any

from hln_tf.common.errors import SettingError, UsageError
from hln_tf.common.settings import checked, documented, setting
from hln_tf.data.sources import CUSTOM, SOURCES

# The parts that may have files of their own.
PART_FILES = ("test", "validation+test")


@documented
@dataclasses.dataclass(frozen=True)
class ProtocolSettings:
    """The settings of a protocol: from the clicks of a log to train, validation and test.

    The filters run in this order: time window, sessions of too few clicks,
    item counts (`min_item_count`, `top_items`), session timeout, repeats, session
    lengths. Then the latest sessions become the test part, unless each part has files
    of its own (`part_files`).
    """

    train_fraction: str = setting(
        "1", "train on this last part of the training examples, a fraction such as 1/64"
    )
    validation_fraction: str = setting(
        "0.1", "this part of the train sessions, the latest ones, becomes the validation part"
    )
    validation_days: int = setting(
        0,
        "instead of --validation_fraction: train sessions of this many last days are the "
        "validation part; 0: by fraction",
        minimum=0,
        maximum=36_500,
        added=True,
    )
    test_seconds: int = setting(
        86_400, "sessions of this many last seconds are the test part", minimum=1
    )
    test_from: str = setting(
        "", "instead of --test_seconds: the test part's first day, UTC, such as 2014-09-30"
    )
    test_days: int = setting(
        0,
        "with --test_from: days of the test part; 0: to the end of the log",
        minimum=0,
        maximum=36_500,
        added=True,
    )
    test_fraction: str = setting(
        "0",
        "instead of --test_seconds: this part of the sessions, the latest ones, is the test part, "
        "a fraction such as 0.2; 0: by time",
        added=True,
    )
    train_days: int = setting(
        0,
        "train on sessions of this many days before the test part; 0: on all before it",
        minimum=0,
        maximum=36_500,
        added=True,
    )
    unseen_targets: str = setting(
        "drop",
        "test clicks on items that full train lacks are dropped, as the published protocols have "
        "it, or miss: as targets they count as misses",
        choices=("drop", "miss"),
        added=True,
    )
    min_item_count: int = setting(5, "drop items with fewer clicks", minimum=1)
    top_items: int = setting(
        0, "keep this many most frequent items, of equal ones the smaller id; 0: all", minimum=0
    )
    min_session_length: int = setting(2, "drop sessions with fewer clicks", minimum=2)
    max_session_length: int = setting(0, "drop sessions with more clicks; 0: no limit", minimum=0)
    session_timeout: int = setting(
        0,
        "inactivity, in seconds, that ends a session; 0: the log names sessions",
        minimum=0,
        alias="gap",
    )
    collapse_repeats: bool = setting(
        False, "of consecutive clicks on one item in a session keep the first"
    )
    order: str = setting(
        "file",
        "order of the clicks of a session; ties in time keep file order",
        choices=("file", "time"),
    )
    extra_columns: tuple[str, ...] = setting(
        (),
        "further columns of the log to store for each click, by which python -m hln_tf.evaluate "
        "--slice_by divides the examples",
        added=True,
    )
    window_months: int = setting(0, "keep this many last months; 0: all", minimum=0, maximum=1200)
    window_end: str = setting(
        "2009-05-05", "last day of --window_months, included, UTC, such as 2009-05-05"
    )

    part_files: str = dataclasses.field(default="", metadata={"added": True})

    def __post_init__(self) -> None:
        checked(self)
        columns = self.extra_columns
        if len(set(columns)) < len(columns) or not all(
            isinstance(column, str) and column for column in columns
        ):
            raise SettingError("extra_columns", list(columns), "columns of the log, each once")
        train = self._normalise("train_fraction")
        if not 0 < train <= 1:
            raise SettingError("train_fraction", float(train), "more than 0 and at most 1")
        for name in ("validation_fraction", "test_fraction"):
            value = self._normalise(name)
            if not 0 <= value < 1:
                raise SettingError(name, float(value), "at least 0 and less than 1")
        if self.test_from and self.test_fraction != "0":
            raise UsageError("`test_from` and `test_fraction` exclude each other: give one")
        if self.test_days and not self.test_from:
            raise UsageError("`test_days` goes with `test_from`, the test part's first day")
        if self.part_files not in ("", *PART_FILES):
            raise SettingError("part_files", self.part_files, f"one of: {', '.join(PART_FILES)}")
        for name in ("train_days", "validation_days", "test_from", "test_fraction"):
            if self.part_files and getattr(self, name) not in (0, "", "0"):
                raise UsageError(f"`{name}` does not apply where the test part has its own files")
        for name in ("window_end", "test_from") if self.test_from else ("window_end",):
            try:
                # The day after must be a day, too: the window ends where it begins.
                datetime.date.fromisoformat(getattr(self, name)) + datetime.timedelta(days=1)
            except (ValueError, OverflowError):
                raise SettingError(name, getattr(self, name), "a day such as 2009-05-05") from None
        if 0 < self.max_session_length < self.min_session_length:
            raise SettingError(
                "max_session_length",
                self.max_session_length,
                f"0 or at least `min_session_length`, {self.min_session_length}",
            )

    def _normalise(self, name: str) -> Fraction:
        """Parse a fraction and store it in lowest terms, so that 0.5 and 1/2 are the same."""
        text = getattr(self, name)
        try:
            value = Fraction(text)
        except (ValueError, ZeroDivisionError):
            raise SettingError(name, text, "a fraction such as 1/64 or 0.1") from None
        object.__setattr__(self, name, str(value))
        return value

    def check_users(self) -> None:
        """Check that there is a session timeout, which a log that names users needs.

        Raises:
          UsageError: There is none.
        """
        if not self.session_timeout:
            raise UsageError(
                "`session_timeout` is 0, but the log names users, not sessions: "
                "set the seconds after which a session ends, such as 1800"
            )

    def changes(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults."""
        defaults = dataclasses.asdict(type(self)())
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value != defaults[name]}

    def test_begin(self) -> int | None:
        """Return the first second of `test_from`, or `None`."""
        return _seconds(datetime.date.fromisoformat(self.test_from)) if self.test_from else None

    @property
    def validation_is_fraction(self) -> bool:
        """True where the validation part is a fraction of the train sessions."""
        return not self.validation_days and self.part_files != PART_FILES[1]

    @property
    def has_validation(self) -> bool:
        """True where there is to be a validation part."""
        return not self.validation_is_fraction or self.validation_fraction != "0"

    def window(self) -> tuple[int, int] | None:
        """Return the first second of the time window and the first one after it, or `None`."""
        if not self.window_months:
            return None
        end = datetime.date.fromisoformat(self.window_end) + datetime.timedelta(days=1)
        return _seconds(months_before(end, self.window_months)), _seconds(end)


def months_before(day: datetime.date, months: int) -> datetime.date:
    """Return the same day of the month `months` earlier, or that month's last day."""
    month = day.year * 12 + day.month - 1 - months
    if month < 12:
        return datetime.date.min
    first = datetime.date(month // 12, month % 12 + 1, 1)
    last = (first + datetime.timedelta(days=31)).replace(day=1) - datetime.timedelta(days=1)
    return min(last, first + datetime.timedelta(days=day.day - 1))


def _seconds(day: datetime.date) -> int:
    return (day - datetime.date(1970, 1, 1)).days * 86_400


# The protocol published for each data set, and the defaults of a custom log.
PROTOCOLS = {
    "sample": ProtocolSettings(),
    "yoochoose64": ProtocolSettings(train_fraction=SOURCES["yoochoose64"].train_fraction),
    "yoochoose4": ProtocolSettings(train_fraction=SOURCES["yoochoose4"].train_fraction),
    "lastfm": ProtocolSettings(
        test_seconds=7 * 86_400,
        min_item_count=1,
        top_items=40_000,
        max_session_length=50,
        session_timeout=28_800,
        collapse_repeats=True,
        order="time",
        window_months=3,
    ),
    "diginetica": ProtocolSettings(test_seconds=7 * 86_400),
    "retailrocket": ProtocolSettings(test_seconds=7 * 86_400, session_timeout=1800, order="time"),
    CUSTOM: ProtocolSettings(order="time"),
}
