"""What a log has that its owner is unlikely to mean."""

import re

import numpy as np
import pytest
import small_log

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.parts import PartShape, utc
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.protocol_settings import ProtocolSettings

LATE = [("z", 1_900_000_000, "i1"), ("z", 1_900_000_009, "i2")]
BOT = [("bot", small_log.START + 100, f"i{number % 20}") for number in range(600)]


def prepare(rows, **changes):
    settings = ProtocolSettings(**{"order": "time", "min_item_count": 1, **changes})
    return prepare_sessions(small_log.table(rows), settings)


def named_settings(warning):
    """The settings that a warning of a hole names."""
    names = dict(re.findall(r"`(window_\w+)` (\S+)", warning))
    return {"window_months": int(names["window_months"]), "window_end": names["window_end"]}


def test_a_usual_log_gets_no_warning():
    assert prepare(small_log.rows()).warnings == []


def test_a_session_with_a_wrong_clock_is_named_with_the_settings_that_leave_it_out():
    prepared = prepare([*small_log.rows(), *LATE])
    assert len(prepared.test) == 1
    hole, tiny = prepared.warnings
    assert hole.startswith("no session is dated between 2023-11-20 00:20 and 2030-03-17")
    assert "200 sessions before and 1 after" in hole
    assert tiny.startswith("the test part is tiny, 1 example in 1 session dated 2030-03-17 17:46")
    again = prepare([*small_log.rows(), *LATE], **named_settings(hole))
    assert len(again.test) == 40
    assert again.warnings == []


def test_an_early_session_with_a_wrong_clock_is_named_too():
    early = [("z", 0, "i1"), ("z", 9, "i2")]
    (hole,) = prepare([*early, *small_log.rows()]).warnings
    assert "1 session before and 200 after" in hole
    again = prepare([*early, *small_log.rows()], **named_settings(hole))
    assert len(again.train) + len(again.validation) + len(again.test) == 200
    assert again.warnings == []


def test_a_night_is_no_hole():
    rows = [
        (f"{day}-{visit}", small_log.START + day * 86_400 + visit * 60 + click, f"i{click}")
        for day in range(4)
        for visit in range(60)
        for click in range(3)
    ]
    assert prepare(rows).warnings == []


def test_a_session_that_has_much_of_the_examples_is_named():
    (warning,) = prepare([*small_log.rows(), *BOT]).warnings
    assert "one session has 599 of the 1,062 examples of the train part" in warning
    assert "`max_session_length`" in warning
    assert prepare([*small_log.rows(), *BOT], max_session_length=50).warnings == []


def test_an_empty_validation_part_is_an_error_unless_none_is_wanted():
    with pytest.raises(HlnError, match=r"the validation part is empty.*`validation_fraction`"):
        prepare(small_log.rows(), validation_fraction="1/1000")
    prepared = prepare(small_log.rows(), validation_fraction="0")
    assert len(prepared.validation) == 0
    (warning,) = prepared.warnings
    assert "there is no validation part" in warning


def test_the_shape_of_several_shards_is_that_of_all():
    random = np.random.default_rng(0)
    lengths, dates = random.integers(2, 9, 50), random.integers(0, 10**9, 50)
    parts = [PartShape.from_columns(lengths[n::3], dates[n::3]) for n in range(3)]
    whole = PartShape.from_columns(lengths, dates)
    assert sum(parts, PartShape()) == whole
    assert whole.prefixes == lengths.sum() - 50
    assert PartShape.from_columns(lengths[:0], dates[:0]) == PartShape()


def test_dates_of_any_year_are_shown():
    assert utc(1_700_000_000) == "2023-11-14 22:13"
    assert utc(10**12) == "33658-09-27 01:46"
    assert utc(None) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"test_days": 1}, "`test_days` goes with `test_from`"),
        ({"test_from": "2014-04-08", "test_fraction": "1/2"}, "exclude each other"),
        ({"test_fraction": "1"}, "`test_fraction` is 1.0"),
        ({"part_files": "train"}, "`part_files` is 'train'"),
        ({"part_files": "test", "train_days": 1}, "`train_days` does not apply"),
    ],
)
def test_settings_that_do_not_go_together(wrong, words):
    with pytest.raises(UsageError, match=words):
        ProtocolSettings(**wrong)
