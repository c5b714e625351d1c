"""The boundaries between train, validation and test."""

import dataclasses
from fractions import Fraction

from hln_tf.data.layout import SPLITS
from hln_tf.data.parts import DAY
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import PART_BITS, SessionColumns, select, slice_sessions


@dataclasses.dataclass(frozen=True)
class Boundary:
    """The dates in seconds that separate the parts; sessions in none of them are dropped.

    Attributes:
      train_end: Train is strictly before.
      test_after: Test is strictly after.
      train_begin: Train begins with this date; None: with the first session.
      validation_begin: Of train, the validation part begins with this date; None: it is
        a fraction of the sessions.
      test_end: Test is strictly before; None: it has the last session.
    """

    train_end: int
    test_after: int
    train_begin: int | None = None
    validation_begin: int | None = None
    test_end: int | None = None


def boundary_rank(sessions: int, settings: ProtocolSettings) -> int | None:
    """Return the rank by date, from 0, of the last train session, or None for a split by time.

    Args:
      sessions: Number of all sessions.
      settings: The protocol.
    """
    if settings.test_fraction == "0" or settings.part_files:
        return None
    return sessions - 1 - count_share(sessions, settings.test_fraction)


def find_boundary(date: int, settings: ProtocolSettings, has_test: bool = True) -> Boundary:
    """Find the boundary between the parts.

    It is `test_seconds` before the latest date, and sessions of just this date are
    dropped, as the published protocol has it; or it is the first second of
    `test_from`, which belongs to test; or it is after the last train session, where the
    test part is a fraction of the sessions: those of equal dates are in train.

    Args:
      date: Date of the latest session or, for a fraction, of the last train session.
      settings: The protocol.
      has_test: Whether there is a test part that the protocol separates by date.
    """
    begin, end = settings.test_begin(), None
    if not has_test or settings.part_files or settings.test_fraction != "0":
        train_end, test_after = date + 1, date
    elif begin is not None:
        train_end, test_after = begin, begin - 1
        if settings.test_days:
            end = begin + settings.test_days * DAY
    else:
        train_end = test_after = date - settings.test_seconds
    return Boundary(
        train_end,
        test_after,
        train_end - settings.train_days * DAY if settings.train_days else None,
        train_end - settings.validation_days * DAY if settings.validation_days else None,
        end,
    )


def split_parts(
    sessions: SessionColumns, boundary: Boundary, settings: ProtocolSettings
) -> dict[str, SessionColumns]:
    """Split sessions into train and test, and validation where it is not a fraction of train."""
    if settings.part_files:
        part = sessions.order >> PART_BITS
        return {
            name: select(sessions, part == SPLITS.index(name))
            for name in ("train", *settings.part_files.split("+"))
        }
    dates = sessions.dates
    train, test = dates < boundary.train_end, dates > boundary.test_after
    if boundary.train_begin is not None:
        train &= dates >= boundary.train_begin
    if boundary.test_end is not None:
        test &= dates < boundary.test_end
    masks = {"train": train, "test": test}
    if boundary.validation_begin is not None:
        late = dates >= boundary.validation_begin
        masks = {"train": train & ~late, "validation": train & late, "test": test}
    return {name: select(sessions, mask) for name, mask in masks.items()}


def split_validation(
    train: SessionColumns, settings: ProtocolSettings
) -> tuple[SessionColumns, SessionColumns]:
    """Split sessions that are in order into train and the latest ones, the validation part."""
    first = len(train) - count_share(len(train), settings.validation_fraction)
    return slice_sessions(train, 0, first), slice_sessions(train, first, len(train))


def count_share(total: int, fraction: str) -> int:
    """Count the fraction of a total, rounded down."""
    return int(total * Fraction(fraction))
