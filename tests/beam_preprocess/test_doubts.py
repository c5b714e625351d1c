"""Warnings about ids that differ only in their spelling, and about sessions that last for days."""

import json

import numpy as np
import pyarrow as pa
import pytest

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.doubts import doubt_sessions
from beam_preprocess.formats import LogFormat
from beam_preprocess.spellings import find_spellings, normalise_ids

START = 1_700_000_000
DAY = 86_400
LOG = LogFormat(session="s", time="t", time_format="seconds", item=("i",))
USERS = LogFormat(user="s", time="t", time_format="seconds", item=("i",))
SESSIONS = [(f"s{s}", s * 60 + c, f"i{(s + c) % 5}") for s in range(40) for c in (0, 1)]
CONFIG = Settings(dataset="custom", log=LOG, order="time", min_item_count=1, test_seconds=100)


def stats(directory, rows, work):
    """Prepare a log of rows (session, seconds, item); returns the content of stats.json."""
    lines = [f"{key},{START + time},{item}\n" for key, time, item in rows]
    (directory / "log").write_text("s,t,i\n" + "".join(lines))
    prepare([directory / "log"], directory / "out", CONFIG, work)
    found = json.loads((directory / "out" / "stats.json").read_text())
    # The log is small and ends long after most of it, of which there are other warnings.
    of_parts = ("the validation part", "the test part", "no session is dated")
    found["warnings"] = [each for each in found["warnings"] if not each.startswith(of_parts)]
    return found


def test_a_usual_log_has_no_warning(tmp_path):
    found = stats(tmp_path, SESSIONS, Work(workers=1))
    assert found["warnings"] == []
    assert found["sessions_longer_than_a_day"] == 0
    none = {"ids": 0, "clicks": 0, "examples": []}
    assert found["several_spellings"] == {"item": none, "session": none}


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_each_doubt_is_one_warning_whatever_the_partitions(tmp_path, partitions):
    spelt = {"i1": "123", "i2": "123.0"}
    rows = [(key, time, spelt.get(item, item)) for key, time, item in SESSIONS]
    rows += [(f"{s}.0" if c else s, s * 60 + c, "i3") for s in range(10, 20) for c in range(4)]
    rows += [(f"s{s}", 3 * DAY + s * 60 + c, "i4") for s in range(30) for c in (0, 1)]
    work = Work(workers=2, partitions=partitions, block_bytes=100)
    found = stats(tmp_path, rows, work)
    items, keys, long = found["warnings"]
    assert items == (
        "1 item ids are written in several ways, such as '123' (16 clicks), '123.0' (16 clicks), "
        "and count as different ones: write each in one way"
    )
    assert keys.startswith("10 session ids are written in several ways, such as '10' (1 clicks), '")
    assert long.startswith("30 sessions last longer than a day, the longest, 's9', 3 days")
    assert "set session_timeout, such as 1800" in long
    assert found["sessions_longer_than_a_day"] == 30
    assert found["several_spellings"]["session"]["clicks"] == 40


@pytest.mark.parametrize(
    ("log", "timeout", "count"), [(LOG, 0, 1), (LOG, 1800, 0), (USERS, 1800, 0)]
)
def test_users_and_sessions_with_a_timeout_may_last_for_days(log, timeout, count):
    settings = Settings(dataset="custom", log=log, session_timeout=timeout)
    keys = pa.array(["a", "b", "a", "b"]).dictionary_encode()
    times = np.array([5, 0, DAY + 6, DAY]) * 1_000_000
    found = doubt_sessions(keys, times, settings)
    assert found.long_sessions == count
    if count:
        assert found.longest == (DAY + 1, "a")


@pytest.mark.parametrize(
    ("spelling", "other"),
    [("123", "123.0"), ("7", "007"), ("i1", " i1"), ("214500000", "2.145E+08"), ("0", "0.")],
)
def test_spellings_of_one_id(spelling, other):
    found = find_spellings(pa.array([other, "more", spelling]), np.array([3, 9, 4]))
    assert (found.ids, found.clicks) == (1, 7)
    assert dict(found.examples[0]) == {spelling: 4, other: 3}


@pytest.mark.parametrize(
    "ids", [["7", "8.5"], ["a1", "A1"], ["1e3x", "1000"], ["-7", "7"], [" "], []]
)
def test_different_ids(ids):
    found = find_spellings(pa.array(ids, pa.string()), np.ones(len(ids), np.int64))
    assert (found.ids, found.clicks, found.examples) == (0, 0, ())


def test_normal_spellings():
    ids = ["a", " a\t", "1e3", "1000", "+7", "07", "7.50", "00", "0.0", "1e-2", "0.01", "v1.0", " "]
    normal = ["a", "a", "1000", "1000", "7", "7", "7.5", "0", "0", "0.01", "0.01", "v1.0", " "]
    assert normalise_ids(pa.array(ids)).to_pylist() == normal


def test_many_spellings_are_counted_and_the_first_shown():
    ids = pa.array([f"{n}{end}" for n in range(100, 150) for end in ("", ".0")])
    found = find_spellings(ids, np.arange(100))
    assert (found.ids, found.clicks, len(found.examples)) == (50, 4950, 3)
    assert found.examples[0] == (("100", 0), ("100.0", 1))
    assert (found + found).ids == 100
