"""Errors in custom logs, in each format."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.format_detection import open_log
from beam_preprocess.formats import LogFormat
from beam_preprocess.parquet import read as read_parquet
from beam_preprocess.read import find_files
from beam_preprocess.records import open_quote, row_starts, whole_rows
from beam_preprocess.scan import cut, parse_part
from hln_tf.common.errors import HlnError

LOG = {"session": "s", "time": "t", "item": ("i",)}
CSV = LogFormat(**LOG)
TIME = "2014-09-24T09:58:32Z"


def opened(path, content, log=CSV):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_log(find_files([path])[0], log)


def clicks(file, block_bytes=1 << 20):
    """Read all clicks as lists, and the malformed rows of each block with its offset."""
    found, malformed = [], []
    for part in cut([file], block_bytes):
        for block in parse_part(part, block_bytes):
            table, wrong = block.parsed.clicks, block.parsed.malformed
            found += zip(*(table[name].to_pylist() for name in ("session", "item")), strict=True)
            if wrong.count:
                malformed.append((block.offset, wrong))
    return found, malformed


def refused(path, content, log, words):
    with pytest.raises(HlnError) as caught:
        opened(path, content, log)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        ("s;t;i\na;b;c\n", {}, ["no column 's'", "'s;t;i'", "delimiter"]),
        ("s,t,item\n", {}, ["no column 'i'", "'s', 't', 'item'", "spec"]),
        ("s,t,i,i\n", {}, ["two columns 'i'"]),
        ("s,t,i\n", {}, ["empty but for its header"]),
        (f"a,{TIME},x\n", {"header": False}, ["no column 's'", "'1', '2', '3'"]),
        ("s,t,i\na,b,c\n", {}, ["line 2 is 'a,b,c'", "3 columns separated by a comma", "ISO 8601"]),
        (
            "s,t,i\na,1411552712,c\n",
            {"time_format": "milliseconds"},
            ["line 2", "milliseconds since 1970", "1411552712 looks like seconds"],
        ),
        ("s,t,i\na,1411552712,c\n", {}, ["line 2", "ISO 8601", "looks like seconds (time_format"]),
        (f's,t,i\na,{TIME},"x\ny"\n', {}, ["line 2", "no line break in 'i'"]),
        (b"s,t,\xe9\n", {}, ["line 1 is not UTF-8", "0xe9"]),
        (f"s,t,i\na,{TIME},\xe9\n".encode("latin-1"), {}, ["line 2 is not UTF-8", "0xe9"]),
        (f'{{"s":1,"t":"{TIME}","i":2}}\n', {}, ["no column 's'"]),
        ("s,t,i\n", {"format": "jsonl"}, ["line 1 is 's,t,i'", "JSON object"]),
        ('{"s": 1, "t": 2}\n', {"format": "jsonl"}, ["no column 'i'", "'s', 't'"]),
        ('{"s": 1, "t": 2, "i": 3}\n', {"format": "jsonl"}, ["line 1", "ISO 8601"]),
        (b'{"s": "\xff"}\n', {"format": "jsonl"}, ["line 1"]),
        ("s,t,i\n", {"format": "parquet"}, ["Parquet", "format in the spec"]),
    ],
)
def test_first_rows_in_another_format_are_refused(tmp_path, content, changes, words):
    refused(tmp_path / "log", content, LogFormat(**LOG, **changes), words)


def parquet_bytes(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (parquet_bytes(s=["a"], t=[TIME]), ["no column 'i'", "'s', 't'"]),
        (parquet_bytes(s=[True], t=[TIME], i=["x"]), ["ids of type bool in column 's'"]),
        (parquet_bytes(s=["a"], t=[1], i=["x"]), ["times of type int64", "time_format"]),
        (parquet_bytes(s=["a"], t=[True], i=["x"]), ["times of type bool", "convert"]),
        (parquet_bytes(s=["a"], t=[TIME], i=["x"])[:-9], ["cannot be read as Parquet"]),
        (parquet_bytes(s=["a"], t=[TIME], i=["x"])[:0], ["is empty"]),
    ],
)
def test_wrong_parquet_is_refused(tmp_path, content, words):
    refused(tmp_path / "log", content, LogFormat(format="parquet", **LOG), words)


def test_parquet_read_as_csv_is_refused(tmp_path):
    content = parquet_bytes(s=["a"], t=[TIME], i=["x"])
    refused(tmp_path / "log", content, CSV, ["is a Parquet file", "format: parquet"])


def test_damaged_parquet_is_named(tmp_path):
    content = bytearray(parquet_bytes(s=["a"] * 99, t=[TIME] * 99, i=["x"] * 99))
    content[4:60] = bytes(56)
    file = opened(tmp_path / "log", bytes(content), LogFormat(format="parquet", **LOG))
    with pytest.raises(HlnError, match="cannot be read as Parquet"):
        [list(read_parquet(part)) for part in cut([file], 100)]


def test_parquet_without_values(tmp_path):
    content = parquet_bytes(s=["a", None, "c"], t=[TIME, TIME, None], i=["x", "y", "z"])
    file = opened(tmp_path / "log", content, LogFormat(format="parquet", **LOG))
    [block] = [block for part in cut([file], 1) for block in parse_part(part, 1)]
    assert block.parsed.clicks["item"].to_pylist() == ["x"]
    assert block.parsed.malformed.count == 0
    assert block.parsed.findings.missing == {"s": 1, "t": 1}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_quoted_commas_and_line_breaks(tmp_path, compressed, size):
    rows = [
        "note,i,t,s",
        f'"a\nb","x,1",{TIME},"s ""1"""',
        f"plain,y,{TIME},s2",
        f'"\n\n,""\n",z,{TIME},"s\n3"',
        "wrong,row",
        f'"w","two\nlines",{TIME},s4',
        f',x,{TIME},"s5"',
    ]
    content = "\r\n".join(rows).encode()
    content = gzip.compress(content) if compressed else content
    file = opened(tmp_path / "log", content)
    found, malformed = clicks(file, size)
    assert found == [('s "1"', "x,1"), ("s2", "y"), ("s\n3", "z"), ("s5", "x")]
    assert sum(wrong.count for _, wrong in malformed) == 2
    assert malformed[0][1].first[0][1] == "wrong,row"
    assert b"".join(r.encode() for r in rows[:1]) == b"note,i,t,s"


def test_line_of_a_malformed_row(tmp_path):
    file = opened(tmp_path / "log", f's,t,i,n\na,{TIME},x,"1\n2\n3"\nb,{TIME}\n')
    _, [(offset, malformed)] = clicks(file)
    assert (offset, malformed.first[0][0]) == (8, 3)  # lines after the header, which ends at byte 8


@pytest.mark.parametrize("compressed", [False, True])
def test_quote_without_end_is_named(tmp_path, compressed):
    content = f's,t,i\na,{TIME},x\na,{TIME},"y\na,{TIME},z\n'.encode()
    file = opened(tmp_path / "log", gzip.compress(content) if compressed else content)
    with pytest.raises(HlnError, match=r"log, line 3 has a quote .* quotes: false"):
        clicks(file, 10)
    unquoted = LogFormat(quotes=False, **LOG)
    found, _ = clicks(opened(tmp_path / "log", content, unquoted), 10)
    assert found == [("a", "x"), ("a", '"y'), ("a", "z")]


def test_rows_end_outside_of_quotes():
    assert whole_rows(b'a\n"b\nc', ",") == 2
    assert whole_rows(b'a\n"b\nc', "") == 5
    assert whole_rows(b'a\n"b\n"\nc', ",") == 7
    assert whole_rows(b'"b\n', ",") == 0
    assert row_starts(b'a\r\n"b\r\n"\nc\rd', ",").tolist() == [0, 3, 9, 11]


def test_quotes_within_a_field_are_characters():
    data = b'a,5" disk\n"b ""\n"" c",7"\n'
    assert row_starts(data, ",").tolist() == [0, 10]
    assert whole_rows(data, ",") == len(data)
    assert whole_rows(data[:-1], ",") == 10


@settings(deadline=None)
@given(st.text('a,"\n\r', max_size=12).map(str.encode))
def test_rows_are_as_arrow_has_them(data):
    """Arrow skips no row here but for those of another number of columns."""
    starts = row_starts(data, ",")
    if not data or open_quote(data[starts[-1] :], ",") is not None:
        return
    skipped = []
    options = csv.ParseOptions(
        newlines_in_values=True,
        ignore_empty_lines=False,
        invalid_row_handler=lambda row: skipped.append(row.number) or "skip",
    )
    names = csv.ReadOptions(column_names=["x"], use_threads=False)
    table = csv.read_csv(pa.BufferReader(data), names, options)
    assert len(starts) == table.num_rows + len(skipped)
    whole = whole_rows(data, ",")
    assert whole == 0 or (data[whole - 1 : whole] == b"\n" and whole in [*starts, len(data)])
    if data.endswith(b"\n"):
        assert whole == len(data)


def test_json_values(tmp_path):
    rows = [
        {"s": 12345678901234567890, "t": TIME, "i": 1.50},
        {"s": "a\u2028b", "t": TIME, "i": "x"},
        {"s": "a", "t": TIME, "i": None},
        {"s": "a", "t": TIME, "i": True},
        {"s": "a", "t": TIME, "i": ["x"]},
        {"s": "a", "t": TIME, "i": "two\nlines"},
        {"s": "a", "t": TIME},
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines += ["", "[1]", '{"s": "a"', '{"s": "\\ud800", "t": "' + TIME + '", "i": "x"}', "9" * 9999]
    log = LogFormat(format="jsonl", **LOG)
    found, [(_, malformed)] = clicks(opened(tmp_path / "log", "\n".join(lines), log))
    assert found == [("12345678901234567890", "1.5"), ("a\u2028b", "x")]
    assert (malformed.count, [line for line, _ in malformed.first]) == (7, [3, 4, 5, 8, 9])


def test_mixed_time_formats_are_malformed(tmp_path):
    file = opened(tmp_path / "log", f"s,t,i\na,{TIME},x\na,1411552712,y\na,24/09/2014,z\n")
    found, [(_, malformed)] = clicks(file)
    assert found == [("a", "x")]
    assert (malformed.count, malformed.first[0]) == (2, (1, "a,1411552712,y"))


def config(**changes):
    return Settings(**{"dataset": "custom", "log": CSV, "order": "time", **changes})


def test_mixed_time_formats_stop_the_run(tmp_path):
    (tmp_path / "log").write_text(f"s,t,i\na,{TIME},x\na,1411552712,y\n")
    with pytest.raises(HlnError) as caught:
        prepare([tmp_path / "log"], tmp_path / "out", config(), Work(workers=1))
    for word in ("1 of 2 rows", "line 3", "'a,1411552712,y'", "ISO 8601", "--max_malformed"):
        assert word in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_where_nothing_is_left_the_clicks_after_each_filter_are_reported(tmp_path):
    rows = [f"{n // 2},{TIME},{n}\n" for n in range(10)] + [f"single,{TIME},1\n"]
    (tmp_path / "log").write_text("s,t,i\n" + "".join(rows))
    with pytest.raises(HlnError) as caught:
        prepare([tmp_path / "log"], tmp_path / "out", config(), Work(workers=1))
    counts = "11 read, 10 in sessions of 2 or more clicks, 0 of frequent items"
    assert counts in str(caught.value)


def test_several_fractions_are_not_written_into_a_data_set(tmp_path):
    from beam_preprocess.preparation import outputs

    (tmp_path / "manifest.json").touch()
    several = [config(train_fraction=fraction) for fraction in ("1/64", "1/4")]
    with pytest.raises(HlnError, match="holds a data set"):
        outputs(tmp_path, several)


def test_other_files_in_the_directory_of_a_fraction_are_refused(tmp_path):
    from beam_preprocess.preparation import outputs, prepare_all

    (tmp_path / "log").write_text(f"s,t,i\na,{TIME},x\n")
    (tmp_path / "out" / "1-4").mkdir(parents=True)
    (tmp_path / "out" / "1-4" / "thesis").touch()
    several = [config(train_fraction=fraction) for fraction in ("1/64", "1/4")]
    with pytest.raises(HlnError, match=r"1-4 holds other files"):
        prepare_all([tmp_path / "log"], outputs(tmp_path / "out", several), overwrite=True)
