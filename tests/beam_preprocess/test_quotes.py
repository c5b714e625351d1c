"""Stray quotes: rows that they swallow are a warning, and a quote without end an error."""

import random

import pytest
from raw_logs import read_log

from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError

LOG = LogFormat(session="s", time="t", time_format="seconds", item=("i",))


def check(path, rows, block_bytes=1 << 20, log=LOG):
    """Write and read a log; returns the counts of its rows and the warnings."""
    path.write_text("\n".join(["s,t,i,note", *rows, ""]))
    _, found = read_log([path], log, block_bytes)
    if found.problem:
        raise HlnError(found.problem)
    return found


def rows(notes):
    return [f"s{n // 4},{1_700_000_000 + n},i{n % 9},{note}" for n, note in enumerate(notes)]


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
@pytest.mark.parametrize("swallowed", [1, 300])
def test_rows_that_a_stray_quote_swallows_are_a_warning(tmp_path, block_bytes, swallowed):
    notes = [""] * 500
    notes[17], notes[17 + swallowed] = '"stray', 'also stray"'
    found = check(tmp_path / "log.csv", rows(notes), block_bytes)
    assert (found.read, found.malformed) == (500 - swallowed, 0)
    (warning,) = found.warnings
    assert "1 rows have a quoted field of many lines" in warning
    assert f"log.csv, lines 19 to {19 + swallowed}: if a quote there is stray" in warning
    assert found.findings.description()["rows_of_many_lines"] == 1


def test_notes_of_a_few_lines_are_none(tmp_path):
    notes = ['"two\nlines"', '"with ""quotes""\n\n, and a comma"', "", '"plain"'] * 50
    found = check(tmp_path / "log.csv", rows(notes), 100)
    assert (found.read, found.warnings) == (200, [])


def test_a_note_of_many_lines_is_a_warning(tmp_path):
    notes = ["", '"' + "\n" * 30 + '"', ""]
    (warning,) = check(tmp_path / "log.csv", rows(notes)).warnings
    assert "lines 3 to 33" in warning


@pytest.mark.parametrize("line", [2, 3, 50, 499, 501])
@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_a_quote_without_end_names_the_line_where_it_begins(tmp_path, line, block_bytes):
    notes = ['"fine, yes"'] * (line - 2) + ['"never closed'] + [""] * (501 - line)
    with pytest.raises(HlnError, match=rf"log.csv, line {line} has a quote .* never closed"):
        check(tmp_path / "log.csv", rows(notes), block_bytes)


def test_a_quote_without_end_in_a_row_of_several_lines(tmp_path):
    lines = [*rows([""] * 9), 's,1700000000,i,"one\ntwo\nthree" and', '"s,1700000000,i,x']
    with pytest.raises(HlnError, match=r"log.csv, line 14 has a quote"):
        check(tmp_path / "log.csv", lines)


def test_quotes_of_any_kind_within_fields_are_no_error(tmp_path):
    choose = random.Random(1)
    notes = [choose.choice(['5" disk', 'the "best"', 'a""', "", '"a, b"']) for _ in range(300)]
    found = check(tmp_path / "log.csv", rows(notes), 100)
    assert (found.read, found.malformed, found.warnings) == (300, 0, [])
