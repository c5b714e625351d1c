"""The settings of a protocol, and the protocols of the known data sets."""

from fractions import Fraction

import pytest

from hln_tf.common.errors import UsageError
from hln_tf.data.protocol_settings import PROTOCOLS, ProtocolSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_fraction": "0"},
        {"train_fraction": "5/4"},
        {"train_fraction": "half"},
        {"train_fraction": "1/0"},
        {"validation_fraction": "1"},
        {"validation_fraction": "-1/2"},
        {"window_end": "2009-02-30"},
        {"test_from": "tomorrow"},
        {"max_session_length": 1},
        {"min_session_length": 1},
        {"order": "size"},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UsageError, match=f"`{next(iter(wrong))}` is "):
        ProtocolSettings(**wrong)


def test_settings_are_equal_in_any_notation():
    assert ProtocolSettings(train_fraction="0.5") == ProtocolSettings(train_fraction="1/2")
    fraction = ProtocolSettings(train_fraction="1/64").train_fraction
    assert Fraction(fraction) == Fraction(1, 64)


def test_changes_are_the_settings_that_differ_from_the_defaults():
    assert ProtocolSettings().changes() == {}
    changed = {"test_seconds": 60, "collapse_repeats": True, "train_fraction": "1/4"}
    assert ProtocolSettings(**changed).changes() == changed
    assert PROTOCOLS["yoochoose64"].changes() == {"train_fraction": "1/64"}
    assert PROTOCOLS["custom"].changes() == {"order": "time"}


def test_window_ends_with_its_last_day():
    day = 86_400
    april = 39 * 365 * day + 10 * day + 90 * day  # 2009-04-01
    window = ProtocolSettings(window_months=1, window_end="2009-04-30").window()
    assert window == (april, april + 30 * day)
    window = ProtocolSettings(window_months=2, window_end="2009-04-29").window()
    assert window == (april - 31 * day - 1 * day, april + 29 * day)  # from 28 February
    assert ProtocolSettings().window() is None


def test_clicks_of_users_need_a_session_timeout():
    with pytest.raises(UsageError, match="`session_timeout` is 0, but the log names users"):
        ProtocolSettings().check_users()
    ProtocolSettings(session_timeout=1800).check_users()
