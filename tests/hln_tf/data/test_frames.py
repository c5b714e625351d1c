"""Data frames of pandas, Arrow and others as clicks: each type of column, and the errors."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.frames import clicks_from_frame
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.protocol_settings import ProtocolSettings

UTC = datetime.UTC
MOMENTS = [
    datetime.datetime(2014, 9, 24, 9, 58, 32, 124_000),
    datetime.datetime(1969, 12, 31, 23, 59, 59),
]
MICROSECONDS = [1411552712_124_000, -1_000_000]
COLUMNS = {"session": "s", "time": "t", "item": "i"}


EXTRA = {
    "text": (["a", ""], ["a", None]),
    "whole": ([7, None], ["7", None]),
    "floats": ([7.0, 0.5], ["7", "0.5"]),
    "nan": ([float("nan"), 1e300], [None, "1e+300"]),
    "flags": ([True, None], ["true", None]),
    "days": ([datetime.date(2014, 9, 24), None], ["2014-09-24", None]),
    "nothing": ([None, None], [None, None]),
}


class Stream:
    """A data frame of a library that only exports Arrow, as Polars does."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def arrow(**changes):
    columns = {"s": ["a", "b"], "t": ["2014-09-24T09:58:32.124Z"] * 2, "i": ["x", "y"]}
    return pa.table({**columns, **changes})


def converted(name, values, **arguments):
    """Convert a frame in which one column has these values, and return that column."""
    frame = arrow(**{name: values})
    clicks = clicks_from_frame(frame, **{**COLUMNS, **arguments})
    return clicks[{"s": "session", "t": "time", "i": "item"}[name]].to_pylist()


def as_pandas(table):
    return table.to_pandas()


def as_categories(table):
    frame = table.to_pandas()
    return frame.astype({"s": "category", "i": "category", "t": "category"})


def as_arrow_types(table):
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def as_batch(table):
    return table.combine_chunks().to_batches()[0]


def as_chunks(table):
    return pa.concat_tables([table.slice(row, 1) for row in range(len(table))])


def as_stream_of_views(table):
    schema = pa.schema([(name, pa.string_view()) for name in table.column_names])
    return Stream(table.cast(schema))


def as_categories_of_views(table):
    """Encode as Polars does its categories, which Arrow's own functions do not decode."""
    schema = pa.schema([(name, pa.string_view()) for name in table.column_names])
    encoded = {
        name: pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint32()), column.combine_chunks())
        for name, column in zip(schema.names, table.cast(schema).columns, strict=True)
    }
    return Stream(pa.table(encoded))


@pytest.mark.parametrize(
    "convert",
    [
        lambda table: table,
        as_pandas,
        as_categories,
        as_arrow_types,
        as_batch,
        as_chunks,
        Stream,
        as_stream_of_views,
        as_categories_of_views,
    ],
)
def test_frames_of_any_library(convert):
    times = ["2014-09-24T09:58:32.124Z", "1970-01-01 00:00:00"]
    frame = convert(arrow(t=times, more=["1", "2"]))
    clicks = clicks_from_frame(frame, **COLUMNS)
    schema = {"session": pa.string(), "time": pa.int64(), "item": pa.string()}
    assert clicks.schema == pa.schema(schema.items())
    assert clicks.to_pydict() == {
        "session": ["a", "b"],
        "time": [1411552712_124_000, 0],
        "item": ["x", "y"],
    }


def test_users_and_joined_items():
    clicks = clicks_from_frame(arrow(more=[1, 2]), user="s", time="t", item=["i", "more"])
    assert clicks.column_names == ["user", "time", "item"]
    assert clicks["item"].to_pylist() == ["x / 1", "y / 2"]


@pytest.mark.parametrize("name", ["s", "i"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([12, -3], pa.int64()),
        pa.array([12, -3], pa.int8()),
        pa.array([12.0, -3.0], pa.float64()),
        pa.array(np.array([12.0, -3.0], np.float16)),
        pa.array(["12", "-3"], pa.large_string()),
        pa.array(["12", "-3"]).dictionary_encode(),
        pa.array([12.0, -3.0]).dictionary_encode(),
    ],
)
def test_ids_are_text_or_whole_numbers(name, values):
    assert converted(name, values) == ["12", "-3"]


def test_ids_of_twenty_digits():
    assert converted("i", pa.array([2**64 - 1, 0], pa.uint64())) == [str(2**64 - 1), "0"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/St_Johns"])
def test_datetimes_of_any_resolution_and_zone(unit, zone):
    series = pd.Series(MOMENTS).dt.tz_localize("UTC").dt.tz_convert(zone)
    series = series.astype(f"datetime64[{unit}{f', {zone}' if zone else ''}]")
    frame = pd.DataFrame({"s": ["a", "b"], "t": series, "i": ["x", "y"]})
    expected = [MICROSECONDS[0] - (124_000 if unit == "s" else 0), MICROSECONDS[1]]
    assert clicks_from_frame(frame, **COLUMNS)["time"].to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (MOMENTS, MICROSECONDS),
        ([moment.replace(tzinfo=UTC) for moment in MOMENTS], MICROSECONDS),
        ([datetime.date(1970, 1, 2), datetime.date(1970, 1, 1)], [86_400_000_000, 0]),
        ([1411552712, 0], [1411552712_000_000, 0]),
        ([1411552712.124, 0.5], [1411552712_124_000, 500_000]),
        ([1411552712124, 1411552712125], [1411552712_124_000, 1411552712_125_000]),
        ([1411552712124.5, 1411552712125.0], [1411552712_124_500, 1411552712_125_000]),
        (["2014-09-24T11:58:32+02:00", "1970-01-01 00:00:00"], [1411552712_000_000, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [None, object])
def test_times(values, expected, dtype):
    frame = pd.DataFrame({"s": ["a", "b"], "t": pd.Series(values, dtype=dtype), "i": ["x", "y"]})
    assert clicks_from_frame(frame, **COLUMNS)["time"].to_pylist() == expected


@pytest.mark.parametrize("frame", [arrow().slice(0, 0), pd.DataFrame(columns=["s", "t", "i"])])
def test_frame_without_rows(frame):
    clicks = clicks_from_frame(frame, **COLUMNS)
    assert clicks.schema == clicks_from_frame(arrow(), **COLUMNS).schema
    with pytest.raises(HlnError, match="clicks left: 0 read"):
        prepare_sessions(clicks, ProtocolSettings())


def test_rows_stay_in_order():
    count = 2_500_000  # several pieces
    frame = pd.DataFrame({"s": 1, "t": np.arange(count), "i": np.arange(count)[::-1]})
    clicks = clicks_from_frame(frame, **COLUMNS)
    np.testing.assert_array_equal(clicks["time"].to_numpy(), np.arange(count) * 1_000_000)
    assert clicks["item"][0].as_py() == str(count - 1)
    frame.loc[count - 2, "t"] = -1
    with pytest.raises(HlnError, match=f"row {count - 2} "):
        clicks_from_frame(frame, **COLUMNS)


ID = "expected an id: text, not empty and without a line break, or a whole number: correct it"
TIME = "expected a datetime, ISO 8601 text such as 2014-09-24T09:58:32Z, or seconds, milliseconds"


@pytest.mark.parametrize(
    "times", [[1411552712123456, 1411552713000000], [1411552712123456789, 1411552713000000000]]
)
def test_microseconds_and_nanoseconds_are_recognised(times):
    clicks = clicks_from_frame(arrow(t=times), **COLUMNS)
    assert clicks["time"].to_pylist() == [1411552712_123_456, 1411552713_000_000]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("s", ["a", None], f"row 1 (from 0) of the column 's' is None, {ID}"),
        ("i", ["", "y"], f"row 0 (from 0) of the column 'i' is '', {ID}"),
        ("i", ["x", "two\nlines"], rf"row 1 (from 0) of the column 'i' is 'two\nlines', {ID}"),
        ("i", [1.0, 2.5], f"row 1 (from 0) of the column 'i' is 2.5, {ID}"),
        ("i", [1.0, float("nan")], f"row 1 (from 0) of the column 'i' is nan, {ID}"),
        ("i", [float("inf"), 1.0], f"row 0 (from 0) of the column 'i' is inf, {ID}"),
        ("i", [1.0, 2.0**53], f"row 1 (from 0) of the column 'i' is 9007199254740992.0, {ID}"),
        ("s", [None, None], f"row 0 (from 0) of the column 's' is None, {ID}"),
        ("t", [None, None], f"row 0 (from 0) of the column 't' is None, {TIME}"),
        ("t", ["24/09/2014", None], f"row 0 (from 0) of the column 't' is '24/09/2014', {TIME}"),
        ("t", [*MOMENTS[:1], None], f"row 1 (from 0) of the column 't' is None, {TIME}"),
        ("t", [1.0, float("nan")], f"row 1 (from 0) of the column 't' is nan, {TIME}"),
        ("t", [-1, 5], f"row 0 (from 0) of the column 't' is -1, {TIME}"),
        ("t", [1e20, 1e20], f"row 0 (from 0) of the column 't' is 1e+20, {TIME}"),
        (
            "t",
            [1411552712, 1411552712124],
            "row 1 (from 0) of the column 't' is 1411552712124, "
            "expected seconds since 1970, as in the rows before it: correct it, or drop the row",
        ),
        (
            "t",
            pa.array([1, 2**62], pa.timestamp("s")),
            f"row 1 (from 0) of the column 't' is {2**62}, {TIME}",
        ),
        ("s", [True, False], "the column 's' has ids of type bool, expected text or whole numbers"),
        ("i", [["x"], ["y"]], "the column 'i' has ids of type list<"),
        ("t", [True, False], f"the column 't' has times of type bool, {TIME}"),
        ("i", ["x" * 300, None], "row 1 (from 0) of the column 'i' is None"),
        ("i", ["\n" + "x" * 300, "y"], "xxx..., expected an id"),
    ],
)
@pytest.mark.parametrize("convert", [lambda table: table, as_chunks])
def test_wrong_values_are_named(name, values, message, convert):
    with pytest.raises(HlnError) as caught:
        clicks_from_frame(convert(arrow(**{name: values})), **COLUMNS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3, "x", 4], "row 3 (from 0) of the column 'i' is 'x', which has another type"),
        ([1, 2, 2**70, 3, 4], f"row 2 (from 0) of the column 'i' is {2**70}, which has another"),
        (["a", "b", "c", "d", "\ud800"], r"row 4 (from 0) of the column 'i' is '\ud800', which"),
        ([object, 1, 2, 3, 4], "row 0 (from 0) of the column 'i' is <class 'object'>, which"),
    ],
)
def test_mixed_types_in_pandas_are_named(values, message):
    frame = pd.DataFrame({"s": "a", "t": range(5), "i": pd.Series(values, dtype=object)})
    with pytest.raises(HlnError) as caught:
        clicks_from_frame(frame, **COLUMNS)
    assert message in str(caught.value)


def test_missing_values_in_pandas_are_named():
    for missing in (None, np.nan, pd.NA):
        frame = pd.DataFrame({"s": ["a", "b"], "t": [1, 2], "i": ["x", missing]})
        with pytest.raises(HlnError, match=r"row 1 \(from 0\) of the column 'i' is None"):
            clicks_from_frame(frame, **COLUMNS)
    frame = pd.DataFrame({"s": ["a", "b"], "t": [pd.Timestamp(0), pd.NaT], "i": ["x", "y"]})
    with pytest.raises(HlnError, match=r"row 1 \(from 0\) of the column 't' is None"):
        clicks_from_frame(frame, **COLUMNS)


@pytest.mark.parametrize("frame", [arrow(), arrow().to_pandas(), Stream(arrow())])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"session": None}, "session and user are neither given"),
        ({"user": "s"}, "session and user are both given"),
        ({"item": []}, r"item is \[\], expected a column, or several"),
        ({"item": ["i", "i"]}, "each once"),
        ({"item": ["i", "j"]}, "has no column 'j'; its columns are 's', 't', 'i': name one"),
        ({"time": "when"}, "has no column 'when'; its columns are 's', 't', 'i'"),
        ({"time": 1}, "a column is given as 1, expected its name"),
    ],
)
def test_wrong_arguments_are_refused(frame, arguments, message):
    with pytest.raises(UsageError, match=message):
        clicks_from_frame(frame, **{**COLUMNS, **arguments})


@pytest.mark.parametrize(
    "frame",
    [
        [("a", "2014-09-24T09:58:32Z", "x")],
        {"s": ["a"], "t": [1], "i": ["x"]},
        None,
        "clicks.csv",
        pd.Series([1]),
        Stream(pa.chunked_array([[1]])),
    ],
)
def test_what_is_no_data_frame_is_refused(frame):
    with pytest.raises(UsageError, match=f"given as {type(frame).__name__}, expected a pandas"):
        clicks_from_frame(frame, **COLUMNS)


def test_a_column_that_is_the_index_of_the_frame_is_named():
    frame = arrow().to_pandas().set_index("s")
    with pytest.raises(UsageError, match=r"'s' is the index .* use clicks\.reset_index\(\)"):
        clicks_from_frame(frame, **COLUMNS)


@pytest.mark.parametrize(("separator", "joined"), [("", "x / 1"), ("|", "x / 1"), (" ", "x/1")])
def test_columns_of_items_are_joined_without_the_separator(separator, joined):
    frame = arrow(more=[1, 2])
    clicks = clicks_from_frame(frame, **{**COLUMNS, "item": ["i", "more"]}, separator=separator)
    assert clicks["item"][0].as_py() == joined


def test_two_columns_of_one_name_are_refused():
    table = pa.table([["a"], [1], ["x"], ["y"]], names=["s", "t", "i", "i"])
    for frame in (table, table.to_pandas()):
        with pytest.raises(UsageError, match="has 2 columns 'i': rename"):
            clicks_from_frame(frame, **COLUMNS)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("form", [as_chunks, as_pandas])
def test_values_of_extra_columns(name, form):
    values, expected = EXTRA[name]
    found = clicks_from_frame(form(arrow(**{name: values})), **COLUMNS, extra=[name])
    assert found.schema.field(f"log_{name}").type == pa.large_string()
    assert found[f"log_{name}"].to_pylist() == expected


def test_columns_that_cannot_be_extra_ones():
    with pytest.raises(UsageError, match="has no column 'device'; its columns are 's', 't', 'i'"):
        clicks_from_frame(arrow(), **COLUMNS, extra=["device"])
    with pytest.raises(HlnError, match=r"column 'l' has values of type list.*`extra_columns`"):
        clicks_from_frame(arrow(l=[[1], [2]]), **COLUMNS, extra=["l"])
