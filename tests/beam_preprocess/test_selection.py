"""Rows chosen by conditions, values in objects and lists, missing values, and times of logs."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_logs import read_log

from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError, UsageError

NAMES = {"session": "s", "time": "t", "item": ("i",)}
START = 1_411_552_712
LEFT_OUT = "rows that lack a value are left out: "


def read(path, content, block_bytes=1 << 20, max_malformed=0.0, **log):
    """Read a log in blocks; returns clicks (session, seconds, item) and the counts of its rows."""
    if isinstance(content, pa.Table):
        pq.write_table(content, path, row_group_size=2)
    else:
        path.write_bytes(content.encode())
    form = LogFormat(**{**NAMES, **log})
    tables, found = read_log([path], form, block_bytes, max_malformed=max_malformed)
    rows = [row for table in tables for row in table.to_pylist()]
    positions = [row["position"] for row in rows]
    assert positions == sorted(set(positions))
    return [(row["session"], row["time"] / 1e6, row["item"]) for row in rows], found


def seconds(*parts):
    return datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp()


def lines(*rows):
    return "".join(f"{row}\n" for row in rows)


def test_rows_are_chosen_by_conditions(tmp_path):
    rows = [f"s1,{START + n},i{n},{event},web" for n, event in enumerate(["view", "cart", "view"])]
    content = lines("s,t,i,event,shop", *rows, f"s1,{START},,page,web", f"s1,{START},i9,view,app")
    where = ("event == view", "shop == web")
    clicks, found = read(
        tmp_path / "log", content, max_malformed=0, time_format="seconds", where=where
    )
    assert [item for _, _, item in clicks] == ["i0", "i2"]
    assert (found.read, found.findings.skipped, found.warnings) == (5, 3, [])
    assert found.selected == {"where event == view and shop == web": 2}
    both = ("event == view", "event==cart")
    clicks, _ = read(tmp_path / "log", content, time_format="seconds", where=both)
    assert [item for _, _, item in clicks] == ["i0", "i1", "i2", "i9"]


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_where_no_row_is_chosen_the_values_are_named(tmp_path, block_bytes):
    rows = [f"s1,{START + n},i{n},{event}" for n, event in enumerate(["view", "cart", "view"])]
    options = {"time_format": "seconds", "where": ("event == vieww",)}
    _, found = read(tmp_path / "log", lines("s,t,i,event", *rows), block_bytes, **options)
    assert found.problem == (
        "no row is left where event == vieww: the column 'event' has 'cart', 'view', at first; "
        "correct `where`"
    )


@pytest.mark.parametrize("where", ["event = view", "event", "== view", "event =="])
def test_wrong_conditions_are_named(where):
    with pytest.raises(UsageError, match="expected such as 'event == view'"):
        LogFormat(**NAMES, where=(where,))


EVENT = {"s": "a", "t": START, "event": {"item": {"id": "x"}, "is_view": True}}


def test_values_in_objects(tmp_path):
    rows = [EVENT, {**EVENT, "event": None}, {**EVENT, "event": {"item": 7, "is_view": True}}]
    rows += [{**EVENT, "event": {"item": {"id": "y"}, "is_view": False}}]
    rows += [{**EVENT, "event": {"item": {"id": ["y"]}, "is_view": True}}]
    content = lines(*map(json.dumps, rows))
    options = {
        "format": "jsonl",
        "time_format": "seconds",
        "item": ("event.item.id",),
        "where": ("event.is_view == true",),
    }
    clicks, found = read(tmp_path / "log", content, max_malformed=1, **options)
    assert clicks == [("a", START, "x")]
    assert (found.findings.skipped, found.findings.missing) == (2, {"event.item.id": 1})
    assert found.malformed == 1
    kind = pa.struct({"item": pa.struct({"id": pa.string()}), "is_view": pa.bool_()})
    events = pa.array([EVENT["event"], None, {"item": None, "is_view": True}], kind)
    table = pa.table({"s": ["a", "b", "c"], "t": [START] * 3, "event": events})
    clicks, found = read(tmp_path / "log.parquet", table, **{**options, "format": "parquet"})
    assert clicks == [("a", START, "x")]
    assert (found.findings.skipped, found.findings.missing) == (1, {"event.item.id": 1})


def test_names_with_dots_are_names(tmp_path):
    content = lines(json.dumps({"s": "a", "t": START, "event.item": "x"}))
    options = {"time_format": "seconds", "item": ("event.item",)}
    assert read(tmp_path / "log", content, format="jsonl", **options)[0] == [("a", START, "x")]
    table = pa.table({"s": ["a"], "t": [START], "event.item": ["x"]})
    clicks, _ = read(tmp_path / "log.parquet", table, format="parquet", **options)
    assert clicks == [("a", START, "x")]


SESSIONS = [
    ("a", [("x", 0, "clicks"), ("y", 1, "carts"), ("z", 2, "clicks")]),
    ("b", []),
    ("c", [("x", 3, "clicks")]),
    ("d", [("x", 4, "clicks"), ("y", 5, "clicks"), ("z", 6, "clicks")]),
]
EVENTS = {
    "session": "session",
    "time": "events[].ts",
    "time_format": "seconds",
    "item": ("events[].aid",),
    "where": ("events[].type == clicks",),
}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_lists_of_events(tmp_path, form, block_bytes):
    rows = [
        {
            "session": session,
            "events": [{"aid": a, "ts": START + t, "type": kind} for a, t, kind in events],
        }
        for session, events in SESSIONS
    ]
    content = pa.Table.from_pylist(rows) if form == "parquet" else lines(*map(json.dumps, rows))
    clicks, found = read(tmp_path / "log", content, block_bytes, **{**EVENTS, "format": form})
    expected = [
        (session, START + t, a)
        for session, events in SESSIONS
        for a, t, kind in events
        if kind == "clicks"
    ]
    assert clicks == expected
    assert (found.read, found.findings.skipped) == (7, 1)


def test_a_list_of_ids(tmp_path):
    row = {"session": "a", "ts": START, "items": [1, "y", None, ["z"]]}
    options = {**EVENTS, "time": "ts", "item": ("items[]",), "where": (), "format": "jsonl"}
    clicks, found = read(tmp_path / "log", lines(json.dumps(row)), max_malformed=1, **options)
    assert clicks == [("a", START, "1"), ("a", START, "y")]
    assert (found.malformed, found.findings.missing) == (1, {"items[]": 1})


def test_lines_without_a_list_are_rows_without_values(tmp_path):
    rows = [{"session": "a"}, {"session": "a", "events": 7}]
    rows += [{"session": "a", "events": [{"aid": 1, "ts": START, "type": "clicks"}]}]
    options = {**EVENTS, "where": (), "format": "jsonl"}
    content = lines(*map(json.dumps, rows))
    clicks, found = read(tmp_path / "log", content, max_malformed=1, **options)
    assert clicks == [("a", START, "1")]
    assert (found.malformed, found.findings.missing) == (1, {"events[].ts": 1})


def test_columns_in_several_lists_are_refused():
    for item in ("others[].aid", "events[].items[].aid"):
        with pytest.raises(UsageError, match="in several lists"):
            LogFormat(**{**EVENTS, "format": "jsonl", "item": (item,)})


def test_a_first_line_that_lacks_a_key(tmp_path):
    rows = [{"s": "a", "t": START}, {"s": "a", "t": START, "i": "x"}]
    content = lines(*map(json.dumps, rows))
    clicks, found = read(tmp_path / "log", content, format="jsonl", time_format="seconds")
    assert clicks == [("a", START, "x")]
    assert found.warnings == [
        f"{LEFT_OUT}1 without 'i' (missing in the spec lists the values that mean none)"
    ]


def test_lines_that_no_condition_selects_need_no_keys(tmp_path):
    rows = [{"s": "a", "event": "page"}] * 2000
    rows += [{"s": "a", "t": START, "i": "x", "event": "view"}]
    options = {"format": "jsonl", "time_format": "seconds", "where": ("event == view",)}
    clicks, _ = read(tmp_path / "log", lines(*map(json.dumps, rows)), **options)
    assert clicks == [("a", START, "x")]
    rows[5] = {"s": "a", "event": "view"}
    with pytest.raises(HlnError, match=r"has no column 't'; its columns are 's', 'event'"):
        read(tmp_path / "log", lines(*map(json.dumps, rows)), **options)


def test_names_of_recbole(tmp_path):
    content = lines("s:token\ti:token\tt:float", f"a\tx\t{START}", f"a\ty\t{START + 1}.0")
    clicks, _ = read(tmp_path / "log.inter", content, format="tsv", time_format="seconds")
    assert clicks == [("a", START, "x"), ("a", START + 1, "y")]
    full = {"session": "s:token", "time": "t:float", "item": ("i:token",)}
    again, _ = read(tmp_path / "log.inter", content, format="tsv", time_format="seconds", **full)
    assert again == clicks


MISSING = ["", "NA", "nan", "NULL", "None", "\\N", "N/A"]


@pytest.mark.parametrize("value", MISSING)
def test_missing_values_are_no_ids(tmp_path, value):
    content = lines("s,t,i", f"{value},{START},x", f"a,{START},{value}", f"a,{START},y")
    clicks, found = read(tmp_path / "log", content, time_format="seconds")
    assert clicks == [("a", START, "y")]
    (warning,) = found.warnings
    assert warning.startswith(f"{LEFT_OUT}1 without 'i', 1 without 's'")
    assert found.selected == {"with ids and a time": 1}
    assert found.findings.description()["missing_values"] == {"i": 1, "s": 1}


def test_missing_values_can_be_set(tmp_path):
    content = lines("s,t,i", f"NA,{START},x", f"a,{START},?")
    clicks, found = read(tmp_path / "log", content, time_format="seconds", missing=("?",))
    assert clicks == [("NA", START, "x")]
    clicks, found = read(tmp_path / "log", content, time_format="seconds", missing=())
    assert [item for _, _, item in clicks] == ["x", "?"] and not found.warnings


def test_constants_of_json_are_missing(tmp_path):
    content = f'{{"s": NaN, "t": {START}, "i": "x"}}\n{{"s": "a", "t": {START}, "i": null}}\n'
    content += f'{{"s": "a", "t": {START}, "i": "x"}}\n'
    clicks, found = read(tmp_path / "log", content, format="jsonl", time_format="seconds")
    assert clicks == [("a", START, "x")]
    assert found.findings.missing == {"i": 1, "s": 1}


def test_a_log_without_ids_says_so(tmp_path):
    content = lines("s,t,i", *[f"NA,{START},x"] * 9)
    _, found = read(tmp_path / "log", content, time_format="seconds")
    assert found.problem.startswith("no row has ids and a time, 9 without 's': name other columns")


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("2014-09-24 09:58:32 UTC", {}),
        ("2014-09-24 11:58:32", {"time_zone": "Europe/Berlin"}),
        ("9/24/2014 9:58:32 AM", {"time_format": "month/day/year"}),
        ("1411552712000000", {"time_format": "microseconds"}),
        ("1411552712000000000", {"time_format": "nanoseconds"}),
        ("1.411552712e9", {"time_format": "seconds"}),
        ("24.09.2014 09:58:32", {"time_pattern": "%d.%m.%Y %H:%M:%S"}),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_times_of_logs(tmp_path, form, value, options):
    content = lines("s,t,i", f"a,{value},x")
    if form == "jsonl":
        content = lines(json.dumps({"s": "a", "t": value, "i": "x"}))
    clicks, found = read(tmp_path / "log", content, format=form, **options)
    assert clicks == [("a", START, "x")]
    assert found.warnings == []


def test_whole_floats_of_parquet_are_ids(tmp_path):
    """As pandas stores integers some of which are missing."""
    ids = pa.array([7.0, None, float("nan"), 0.5, 2.0**60], pa.float64())
    table = pa.table({"s": ids, "t": [START] * 5, "i": ["x"] * 5})
    options = {"format": "parquet", "time_format": "seconds", "max_malformed": 1}
    clicks, found = read(tmp_path / "log", table, **options)
    assert clicks == [("7", START, "x")]
    assert (found.malformed, found.findings.missing) == (2, {"s": 2})


def test_integer_nanoseconds_and_dates_of_parquet(tmp_path):
    table = pa.table({"s": ["a"], "t": [START * 10**9], "i": ["x"]})
    options = {"format": "parquet"}
    clicks, _ = read(tmp_path / "log", table, time_format="nanoseconds", **options)
    assert clicks == [("a", START, "x")]
    days = pa.array([datetime.date(2016, 5, 9)])
    table = pa.table({"s": ["a"], "t": days, "more": [1500], "i": ["x"]})
    clicks, _ = read(tmp_path / "log", table, time_added="more", **options)
    assert clicks == [("a", seconds(2016, 5, 9, 0, 0, 1) + 0.5, "x")]


def test_a_date_and_milliseconds(tmp_path):
    content = lines("s;t;more;i", "a;2016-05-09;1500;x", "a;2016-05-09;NA;x")
    clicks, found = read(tmp_path / "log", content, delimiter=";", time_added="more")
    assert clicks == [("a", seconds(2016, 5, 9, 0, 0, 1) + 0.5, "x")]
    assert found.findings.missing == {"more": 1}


def test_ambiguous_hours_are_a_warning(tmp_path):
    rows = [f"a,2014-10-26 {hour:02}:30,x" for hour in range(5)] * 2
    clicks, found = read(tmp_path / "log", lines("s,t,i", *rows), time_zone="Europe/Berlin")
    assert clicks[2] == ("a", seconds(2014, 10, 26, 0, 30), "x")
    (warning,) = found.warnings
    assert "2 times are ambiguous" in warning and "Europe/Berlin" in warning
    assert "the first 2014-10-26 02:30:00" in warning
    assert found.findings.description()["ambiguous_times"] == 2


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (["1411552712000000"] * 2, {"time_format": "seconds"}, "looks like microseconds"),
        (["7", "8"], {"time_format": "seconds"}, "7 is in the year 1970, expected 1990 to 2099"),
        (["2101-01-01"] * 2, {}, "is in the year 2101"),
        (["24/09/2014"] * 2, {"time_format": "month/day/year"}, "month/day/year such as"),
    ],
)
def test_a_wrong_unit_is_recognised_by_the_year(tmp_path, values, options, words):
    content = lines("s,t,i", *[f"a,{value},x" for value in values])
    with pytest.raises(HlnError) as caught:
        read(tmp_path / "log", content, **options)
    assert words in str(caught.value)
    table = pa.table({"s": ["a"] * 2, "t": values, "i": ["x"] * 2})
    assert words in read(tmp_path / "log", table, format="parquet", **options)[1].problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time_zone": "Europe/Atlantis"}, "time_zone is 'Europe/Atlantis'"),
        ({"time_pattern": "%Q"}, "'%Q'; known are"),
        ({"missing": (None,)}, "missing is [None], expected texts"),
    ],
)
def test_wrong_settings_of_times_and_missing_values(options, words):
    with pytest.raises(UsageError) as caught:
        LogFormat(**NAMES, **options)
    assert words in str(caught.value)
