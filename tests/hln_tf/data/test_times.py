"""Parsing of times, compared with the standard library."""

import calendar
import datetime
import re
import string
import time
import zoneinfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hln_tf.common.errors import UsageError
from hln_tf.data.time_columns import explain_time, read_times
from hln_tf.data.time_patterns import TimeFormat, compile_pattern
from hln_tf.data.times import detect_unit, from_timestamps


def parse_times(text, time_format="iso", pattern="", zone=""):
    """Parse times; returns their microseconds."""
    return read_times(text, TimeFormat(time_format, pattern, zone)).values


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


@settings(deadline=None)
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
        ("2014-02-03T00:00:00+", None),
        ("2014-02", None),
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
        ("1.7e9", "seconds", 1_700_000_000_000_000),
        ("1.411552712124E+12", "milliseconds", 1411552712_124_000),
        ("1411552712123456", "microseconds", 1411552712_123_456),
        ("1411552712123456789", "nanoseconds", 1411552712_123_456),
        ("1e999", "seconds", None),
        ("99999999999999999999", "nanoseconds", None),
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
        (1411552712123456, "microseconds"),
        (1411552712123456789, "nanoseconds"),
        (1e20, None),
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


def utc(*parts):
    """Return the microseconds of a time of UTC."""
    moment = datetime.datetime(*parts, tzinfo=datetime.UTC)
    return calendar.timegm(moment.timetuple()) * 1_000_000 + moment.microsecond


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-10-01 00:00:00 UTC", utc(2019, 10, 1)),
        ("2019-10-01 00:00:00.25 GMT", utc(2019, 10, 1, 0, 0, 0, 250_000)),
        ("2019-10-01 09:58:32 +02:00", utc(2019, 10, 1, 7, 58, 32)),
        ("2019-10-01 09:58", utc(2019, 10, 1, 9, 58)),
        ("2019-10-01T09:58Z", utc(2019, 10, 1, 9, 58)),
        ("2019-10-01", utc(2019, 10, 1)),
        ("20191001", utc(2019, 10, 1)),
        ("20191001T0958", utc(2019, 10, 1, 9, 58)),
        ("20191001T095832Z", utc(2019, 10, 1, 9, 58, 32)),
        ("20191001T095832.5+0130", utc(2019, 10, 1, 8, 28, 32, 500_000)),
        ("2019-10-01 09:58:32,124", utc(2019, 10, 1, 9, 58, 32, 124_000)),
        ("20190230", None),
        ("20191301", None),
        ("2019-10-01 9:58", None),
        ("2019-10-01 24:00", None),
        ("2019-10-01T", None),
    ],
)
def test_forms_of_iso_8601(value, expected):
    assert parse_times(pa.array([value])).to_pylist() == [expected]
    usual = "2014-09-24T09:58:32.124Z"  # among times of the usual form
    parsed = parse_times(pa.array([usual, value, None, usual])).to_pylist()
    assert parsed == [1411552712_124_000, expected, None, 1411552712_124_000]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10/01/2019", utc(2019, 10, 1)),
        ("10/1/2019 9:58", utc(2019, 10, 1, 9, 58)),
        ("10/01/2019 09:58:32", utc(2019, 10, 1, 9, 58, 32)),
        ("10/1/2019, 9:58:32 PM", utc(2019, 10, 1, 21, 58, 32)),
        ("10/1/2019 12:00 AM", utc(2019, 10, 1)),
        ("10/1/2019 12:00 pm", utc(2019, 10, 1, 12)),
        ("10/1/2019 13:00 PM", None),
        ("24/09/2014", None),
        ("2/29/2019", None),
        ("2019-10-01", None),
    ],
)
def test_us_form(value, expected):
    assert parse_times(pa.array([value]), "month/day/year").to_pylist() == [expected]


PATTERNS = ["%d.%m.%Y %H:%M:%S", "%a %b %d %H:%M:%S.%f %Y", "%y-%m-%d %I:%M %p", "%B %d, %Y (%H h)"]


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(deadline=None)
@given(moments=st.lists(st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2068, 1, 1))))
def test_patterns_as_strptime_reads_them(pattern, moments):
    values = [moment.strftime(pattern) for moment in moments]
    expected = [datetime.datetime.strptime(value, pattern) for value in values]
    times = [utc(*moment.timetuple()[:6], moment.microsecond) for moment in expected]
    assert parse_times(pa.array(values, pa.string()), pattern=pattern).to_pylist() == times


def test_a_pattern_with_an_offset():
    values = pa.array(["24/Sep/2014:09:58:32 +0200", "24/Sep/2014:09:58:32", "24/Foo/2014"])
    parsed = parse_times(values, pattern="%d/%b/%Y:%H:%M:%S %z").to_pylist()
    assert parsed == [utc(2014, 9, 24, 7, 58, 32), None, None]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("%Q", "'%Q'; known are %Y"), ("%Y-%m", "a year, a month and a day"), ("%d%d", "twice")],
)
def test_wrong_patterns_are_named(pattern, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        compile_pattern(pattern)


def test_local_times_of_a_time_zone():
    """Berlin puts its clocks back at 3:00 on 26 October 2014 and forward at 2:00 on 30 March."""
    values = ["2014-09-24 09:58:32", "2014-10-26 02:30", "2014-03-30 02:30", "2014-10-26T02:30Z"]
    times, ambiguous = read_times(pa.array([*values, None]), TimeFormat(zone="Europe/Berlin"))
    expected = [utc(2014, 9, 24, 7, 58, 32), utc(2014, 10, 26, 0, 30), None]
    assert times.to_pylist() == [*expected, utc(2014, 10, 26, 2, 30), None]
    assert ambiguous.tolist() == [False, True, False, False, False]


@settings(deadline=None)
@given(st.lists(st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1))))
def test_time_zones_as_the_standard_library_has_them(moments):
    zone = zoneinfo.ZoneInfo("America/St_Johns")
    expected = []
    for moment in moments:
        both = [moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)]
        time = (moment - both[0] - datetime.datetime(1970, 1, 1)) // datetime.timedelta(0, 0, 1)
        expected.append(time if both[0] >= both[1] else None)
    column = pa.array(moments, pa.timestamp("us"))
    assert read_times(column, TimeFormat(zone=zone.key)).values.to_pylist() == expected


@pytest.mark.parametrize(
    ("dates", "added", "expected"),
    [
        (["2016-05-09"], ["526309"], [utc(2016, 5, 9, 0, 8, 46, 309_000)]),
        (["2016-05-09"], ["09:58:32.5"], [utc(2016, 5, 9, 9, 58, 32, 500_000)]),
        (["2016-05-09", "2016-05-09"], ["soon", None], [None, None]),
    ],
)
def test_a_second_column_is_added(dates, added, expected):
    assert read_times(pa.array(dates), TimeFormat(), pa.array(added)).values.to_pylist() == expected


def test_a_number_is_added_to_a_date():
    date, milliseconds = pa.array([datetime.date(2016, 5, 9)]), pa.array([1500])
    assert read_times(date, TimeFormat(), milliseconds).values.to_pylist() == [
        utc(2016, 5, 9, 0, 0, 1, 500_000)
    ]


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        (1411552712123456, TimeFormat("seconds"), "looks like microseconds (time_format mi"),
        ("1411552712123456789", TimeFormat("milliseconds"), "looks like nanoseconds"),
        ("1411552712", TimeFormat(), "looks like seconds"),
        ("2014-09-24", TimeFormat("seconds"), "looks like ISO 8601 (time_format iso)"),
        ("9/24/2014", TimeFormat(), "looks like month/day/year (time_format month"),
        ("0001-01-01", TimeFormat(), "is in the year 0001, expected 1990 to 2099"),
        (14, TimeFormat("seconds"), "is in the year 1970"),
        ("2014-03-30 02:30", TimeFormat(zone="Europe/Berlin"), "is left out in Europe/Berlin"),
        ("2014-09-24", TimeFormat(), ""),
        ("24.09.2014", TimeFormat(), "'24.09.2014' has another form: see time_pattern"),
        ("x" * 999, TimeFormat(), f"{'x' * 60!r} has another form"),
        ("24.09.2014", TimeFormat(pattern="%Y-%m-%d"), ""),
    ],
)
def test_what_is_no_time_is_explained(value, form, words):
    assert words in explain_time(value, form) and bool(words) == bool(explain_time(value, form))
