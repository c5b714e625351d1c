"""Parsing of times, compared with the standard library."""

import calendar
import datetime
import re
import string
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hln_tf.data.times import detect_unit, from_timestamps, parse_times

text = st.text(string.printable.replace("\n", "").replace("\r", "") + "äé坂", max_size=30)


def microseconds(value):
    """Parse a time with the standard library; None where it is none."""
    found = re.fullmatch(r"(.{10})[T ](.{8})(\.[0-9]+)?(Z|([+-]\d\d):?(\d\d)?)?", value, re.ASCII)
    if not found or found[2][-2:] > "59":  # strptime takes leap seconds
        return None
    try:
        parsed = time.strptime(f"{found[1]}T{found[2]}", "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    if any(len(part) < 2 for part in re.split("[-:]", found[1] + ":" + found[2])):
        return None
    fraction = int((found[3] or ".")[1:7].ljust(6, "0"))
    minutes = int(found[5] or 0) * 60
    minutes += int(found[6] or 0) * (-1 if (found[5] or "+")[0] == "-" else 1)
    if abs(minutes) >= 24 * 60 or int(found[6] or 0) > 59:
        return None
    return (calendar.timegm(parsed) - minutes * 60) * 1_000_000 + fraction


@given(
    st.lists(
        st.one_of(
            st.datetimes().map(lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)),
            st.from_regex(
                r"\A201\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d(\.[0-9]{0,7})?"
                r"(Z|[+-][0-2]\d(:?[0-6]\d)?)?\Z",
                alphabet=string.printable,
            ),
            text,
        ),
        max_size=20,
    )
)
def test_times(values):
    values = [value for value in values if value.isascii()]
    parsed = parse_times(pa.array(values, pa.string()), "iso").to_pylist()
    assert parsed == [microseconds(value) for value in values]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-02T00:00:01.999Z", 86_401_999_000),
        ("1969-12-31T23:59:59.900Z", -100_000),
        ("1970-01-01 00:00:00.0000019", 1),
        ("1970-01-01T01:30:00+01:30", 0),
        ("1969-12-31 19:00:01-0500", 1_000_000),
        ("1970-01-01T01:00:00+01", 0),
        ("2014-02-30T00:00:00Z", None),
        ("2014-02-03T24:00:00Z", None),
        ("2014-02-03T23:59:60Z", None),
        ("2014-02-03T00:00:00.Z", None),
        ("2014-02-03T00:00:00+24:00", None),
        ("2014-02-03T00:00:00+01:60", None),
        ("2014-02-03T00:00:00+01:", None),
        ("2014-02-03", None),
        ("1411552712", None),
        ("2014-2-3T00:00:00Z", None),
        ("", None),
    ],
)
def test_edges_of_times(value, expected):
    assert parse_times(pa.array([value]), "iso").to_pylist() == [expected]


@pytest.mark.parametrize(
    ("value", "time_format", "expected"),
    [
        ("1411552712", "seconds", 1411552712_000_000),
        ("1411552712.124", "seconds", 1411552712_124_000),
        ("0", "seconds", 0),
        ("1411552712124", "seconds", None),
        ("1411552712124", "milliseconds", 1411552712_124_000),
        ("1411552712124.5", "milliseconds", 1411552712_124_500),
        ("1411552712", "milliseconds", None),
        ("-1", "seconds", None),
        ("1e9", "seconds", None),
        ("nan", "seconds", None),
        ("", "seconds", None),
        ("2014-09-24T09:58:32.124Z", "milliseconds", None),
    ],
)
def test_numbers_as_times(value, time_format, expected):
    assert parse_times(pa.array([value]), time_format).to_pylist() == [expected]


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (0, "seconds"),
        (1411552712.5, "seconds"),
        (1411552712124, "milliseconds"),
        (1e14, None),
        (-1, None),
        (float("nan"), None),
    ],
)
def test_units_of_numbers(number, unit):
    assert detect_unit(number) == unit


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+09:00"])
def test_timestamps_of_any_unit_and_zone(unit, zone):
    moments = [datetime.datetime(2014, 9, 24, 9, 58, 32, 124_000), None]
    column = pa.array(moments, pa.timestamp("us")).cast(pa.timestamp(unit, zone), safe=False)
    fraction = 0 if unit == "s" else 124_000
    assert from_timestamps(column).to_pylist() == [1411552712_000_000 + fraction, None]


def test_timestamps_are_rounded_down():
    column = pa.array([-1, 1, 1_999], pa.timestamp("ns"))
    assert from_timestamps(column).to_pylist() == [-1, 0, 1]


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_timestamps_out_of_range_are_null(unit):
    column = pa.array([2**63 - 1, -(2**63), 1], pa.timestamp(unit))
    assert from_timestamps(column).to_pylist() == [None, None, 10**6 if unit == "s" else 1000]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates_are_their_midnights(kind):
    column = pa.array([datetime.date(1970, 1, 2), None], kind)
    assert from_timestamps(column).to_pylist() == [86_400_000_000, None]
