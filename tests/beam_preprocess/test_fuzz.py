"""Logs of any schema and content: clicks, or an error of one sentence, and never a traceback."""

import csv
import datetime
import decimal
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_logs import read_log

from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError
from hln_tf.data.time_patterns import TIMES

ANY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = ("s", "t", "i", "note")


def read(path, log):
    """Read a log as the pipeline does; returns clicks and counts, or the error's sentence."""
    try:
        tables, rows = read_log([path], log, block_bytes=50, max_malformed=1)
    except HlnError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    if rows.problem:
        assert "\n" not in rows.problem
        return rows.problem
    for clicks in tables:
        assert clicks.column("time").null_count == 0
        assert "" not in clicks.column("session").to_pylist() + clicks.column("item").to_pylist()
    return rows


integers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.just(1_411_552_712), st.integers(0, 9))
texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["2014-09-24T09:58:32Z", "1411552712", "NA", "nan", "1e400", "9" * 400]),
)


OPTIONS = st.fixed_dictionaries(
    {"time_format": st.sampled_from(list(TIMES))},
    optional={
        "time_pattern": st.sampled_from(["%Y%m%d", "%d.%m.%Y %H:%M:%S.%f", "%b %d %y, %I %p %z"]),
        "time_zone": st.sampled_from(["Europe/Berlin", "Asia/Kathmandu"]),
        "missing": st.lists(texts, max_size=2).map(tuple),
    },
)


def signed(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


moments = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2250, 1, 1))
VALUES = {
    pa.string(): texts,
    pa.large_string(): texts,
    pa.string_view(): texts,
    pa.binary(): st.binary(max_size=8),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.bool_(): st.booleans(),
    pa.null(): st.none(),
    pa.int8(): signed(8),
    pa.int64(): integers,
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.one_of(st.floats(), st.just(1411552712.5)),
    pa.decimal128(20, 3): st.decimals(-(10**9), 10**9, places=3).map(decimal.Decimal),
    pa.date32(): st.dates(),
    pa.date64(): st.dates(),
    pa.time32("s"): st.times().map(lambda time: time.replace(microsecond=0)),
    pa.time64("ns"): st.times(),
    pa.duration("ns"): integers,
    **{
        pa.timestamp(unit, zone): st.one_of(integers, moments)
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC")
    },
    pa.list_(pa.string()): st.lists(texts, max_size=2),
    pa.struct({"x": pa.int64()}): st.fixed_dictionaries({"x": integers}),
    pa.map_(pa.string(), pa.int64()): st.lists(st.tuples(texts, integers), max_size=2),
    pa.dictionary(pa.int32(), pa.string()): texts,
}


IDS = [pa.string(), pa.int64(), pa.dictionary(pa.int32(), pa.string())]
USUAL = {
    "s": IDS,
    "t": [pa.int64(), pa.float64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))],
    "i": IDS,
    "note": IDS,
}


@st.composite
def columns(draw, name):
    """An Arrow column of any type, more often of one that the name suggests."""
    kinds = USUAL[name] if draw(st.booleans()) else list(VALUES)
    kind = draw(st.sampled_from(kinds))
    rows = draw(st.lists(st.one_of(st.none(), VALUES[kind]), min_size=4, max_size=4))
    try:
        return pa.array(rows, kind)
    except (pa.ArrowException, OverflowError):
        return pa.nulls(4, kind)


@ANY
@given(
    table=st.fixed_dictionaries({name: columns(name) for name in NAMES}),
    options=OPTIONS,
    rows=st.integers(0, 4),
    conditions=st.sampled_from([(), ("note == 1",), ("note == true", "i == NA")]),
    added=st.sampled_from(["", "note"]),
)
def test_parquet(tmp_path_factory, table, options, rows, conditions, added):
    path = tmp_path_factory.mktemp("fuzz") / "log"
    try:
        pq.write_table(pa.table(table).slice(0, rows), path, row_group_size=3)
    except (pa.ArrowException, OSError):  # of a type that Parquet lacks
        return
    log = LogFormat(
        format="parquet",
        session="s",
        time="t",
        item=("i", "note"),
        where=conditions,
        time_added=added,
        **options,
    )
    found = read(path, log)
    assert isinstance(found, str) or found.read == rows


values = st.one_of(
    texts,
    integers.map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.sampled_from(['"', '""', ',"', "a\nb", "\r", " ", "\x00", "\ufeff"]),
)


@ANY
@given(
    rows=st.lists(st.lists(values, min_size=3, max_size=5), max_size=5),
    form=st.sampled_from(["csv", "tsv"]),
    header=st.booleans(),
    quoted=st.booleans(),
    quotes=st.booleans(),
    options=OPTIONS,
)
def test_separated(tmp_path_factory, rows, form, header, quoted, quotes, options):
    path = tmp_path_factory.mktemp("fuzz") / "log"
    delimiter = "," if form == "csv" else "\t"
    buffer = io.StringIO()
    if quoted:
        csv.writer(buffer, delimiter=delimiter).writerows([[*NAMES[:3]], *rows])
    else:
        buffer.write("\n".join(map(delimiter.join, [[*NAMES[:3]], *rows])))
    path.write_bytes(buffer.getvalue().encode("utf-8", "surrogatepass"))
    used = {"session": "1", "time": "2", "item": ("3",)}
    log = LogFormat(format=form, header=header, quotes=quotes, **options, **used)
    read(path, log)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), integers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)


@ANY
@given(
    rows=st.lists(
        st.one_of(
            st.fixed_dictionaries({name: json_values for name in NAMES}).map(json.dumps),
            json_values.map(json.dumps),
            texts,
        ),
        max_size=5,
    ),
    options=OPTIONS,
    columns=st.sampled_from(
        [
            {"time": "t", "item": ("i",)},
            {"time": "note.t", "item": ("note.i.s",), "time_added": "t"},
            {"time": "note[].t", "item": ("note[].i",)},
            {"time": "t", "item": ("note[]",)},
        ]
    ),
    conditions=st.sampled_from([(), ("note == true",), ("s == NA", "note.i == 1")]),
)
def test_json_lines(tmp_path_factory, rows, options, columns, conditions):
    path = tmp_path_factory.mktemp("fuzz") / "log"
    path.write_bytes("\n".join(rows).encode("utf-8", "surrogatepass"))
    read(path, LogFormat(format="jsonl", session="s", **columns, **options, where=conditions))


nested = st.fixed_dictionaries(
    {
        "s": texts,
        "event": st.one_of(st.none(), st.fixed_dictionaries({"t": integers, "i": texts})),
        "events": st.one_of(
            st.none(),
            st.lists(
                st.one_of(st.none(), st.fixed_dictionaries({"t": integers, "i": texts})),
                max_size=3,
            ),
        ),
    }
)
NESTED = pa.struct({"t": pa.int64(), "i": pa.string()})


@ANY
@given(
    rows=st.lists(nested, min_size=1, max_size=5),
    columns=st.sampled_from(
        [
            {"time": "event.t", "item": ("event.i",)},
            {"time": "events[].t", "item": ("events[].i",)},
            {"time": "event.t", "item": ("events[].i", "event.i"), "where": ("s == NA",)},
            {"time": "events[].t", "item": ("events[].other",)},
        ]
    ),
    unit=st.sampled_from(["seconds", "nanoseconds"]),
)
def test_nested_parquet(tmp_path_factory, rows, columns, unit):
    path = tmp_path_factory.mktemp("fuzz") / "log"
    schema = pa.schema({"s": pa.string(), "event": NESTED, "events": pa.list_(NESTED)})
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)
    read(path, LogFormat(format="parquet", session="s", time_format=unit, **columns))


@ANY
@given(content=st.binary(max_size=200), form=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_bytes(tmp_path_factory, content, form):
    path = tmp_path_factory.mktemp("fuzz") / "log"
    path.write_bytes(content)
    read(path, LogFormat(format=form, session="s", time="t", item=("i",)))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_malformed_row_with_a_timestamp_that_python_lacks_is_shown(tmp_path, unit):
    """Of a year or with nanoseconds that `datetime` does not have."""
    path = tmp_path / "log"
    times = pa.array([2**62 + 1, 7], pa.int64()).cast(pa.timestamp(unit))
    pq.write_table(pa.table({"s": ["a", "b"], "t": times, "i": ["\n", "\n"]}), path)
    log = LogFormat(format="parquet", session="s", time="t", item=("i",))
    rows = read(path, log)
    assert "first" in str(rows)
