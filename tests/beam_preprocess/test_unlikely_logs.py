"""What the command says of a log: dates, test clicks that train lacks, what is unlikely meant."""

import json

import commands
import pytest
import small_log

from hln_tf.data.sessions import read_split


def prepare(directory, found, *flags):
    """Prepare rows by the command; return its outcome, and the content of stats.json if any."""
    log = small_log.write(directory / "log.csv", found)
    where = ("--input", log, "--output", directory / "data")
    outcome = commands.prepare(*small_log.FLAGS, *where, *flags)
    stats = directory / "data" / "stats.json"
    return outcome, json.loads(stats.read_text()) if stats.is_file() else {}


def test_a_usual_log_gets_no_warning_and_its_dates_are_shown(tmp_path):
    outcome, stats = prepare(tmp_path, small_log.rows())
    assert outcome.code == 0
    assert outcome.err == ""
    lines = {line[:12].strip(): line for line in outcome.out.splitlines()}
    assert lines["train"].endswith("2023-11-14 22:15  2023-11-18 12:01")
    assert lines["validation"].endswith("2023-11-18 12:39  2023-11-18 21:38")
    assert lines["test"].endswith("2023-11-18 22:16  2023-11-19 21:38")
    assert stats["test"]["first"] == "2023-11-18 22:16"
    assert "test clicks on items that full train lacks: 0 of 156 (0.0%)\n" in outcome.out


def test_targets_that_train_alone_lacks_are_counted(tmp_path):
    outcome, stats = prepare(tmp_path, small_log.rows(small_log.new_since(145)))
    assert stats["unseen_test_targets"] == 0
    assert stats["unseen_test_targets_of_train"] == stats["test"]["prefixes"] == 106
    assert "test targets on items that train lacks: 106 of 106 (100.0%)" in outcome.out
    assert "train and validation lack (python -m hln_tf.train --refit): 0 of 106" in outcome.out


def test_dropped_test_clicks_are_counted(tmp_path):
    outcome, stats = prepare(tmp_path, small_log.rows(small_log.new_every_second_click))
    assert stats["test"]["clicks"] == 64
    assert stats["test_without_index"] == {
        **{"clicks": 156, "unseen_clicks": 78, "unseen_targets": 61, "dropped_sessions": 14}
    }
    counted = "78 of 156 (50.0%), dropped with 14 sessions (--unseen_targets drop)"
    assert f"test clicks on items that full train lacks: {counted}" in outcome.out


def test_test_clicks_without_an_index_can_be_misses(tmp_path):
    rows = small_log.rows(small_log.new_every_second_click)
    outcome, stats = prepare(tmp_path, rows, "--unseen_targets", "miss")
    assert stats["test"]["clicks"] == 156
    assert (stats["test"]["prefixes"], stats["unseen_test_targets"]) == (116, 61)
    assert "as targets they are misses (--unseen_targets miss)" in outcome.out
    whole = read_split(tmp_path / "data", "test", unknown=True)
    assert (len(whole.items), int((whole.items == 0).sum())) == (156, 78)
    known = read_split(tmp_path / "data", "test")
    assert known.items.min() == 1 and known.lengths.min() == 2
    assert len(known.items) == 64


@pytest.mark.slow
def test_warnings_name_flags(tmp_path):
    late = [("z", 1_900_000_000, "i1"), ("z", 1_900_000_009, "i2")]
    outcome, stats = prepare(tmp_path, [*small_log.rows(), *late])
    assert stats["test"]["sessions"] == 1
    hole, tiny = outcome.err.splitlines()
    assert hole.startswith("warning: no session is dated between 2023-11-20 00:20 and 2030-03-17")
    assert tiny.startswith("warning: the test part is tiny") and "--test_seconds" in tiny
    flags = hole.partition("leave the fewer ones out with ")[2].replace(" and", "").split()
    outcome, stats = prepare(tmp_path, [*small_log.rows(), *late], *flags, "--overwrite")
    assert stats["test"]["sessions"] == 40
    assert "dated" not in outcome.err and "tiny" not in outcome.err


def test_what_training_refuses_is_not_prepared(tmp_path):
    outcome, _ = prepare(tmp_path, small_log.rows(), "--validation_fraction", "1/1000")
    assert "the validation part is empty" in outcome.sentence()
    assert "--validation_fraction" in outcome.sentence()
    assert not (tmp_path / "data").exists()


def days(rows):
    """Rows whose times have lost their time of day."""
    return [(session, time // 86_400 * 86_400, item) for session, time, item in rows]


def test_dates_without_a_time_of_day_are_a_warning(tmp_path):
    """Sessions of a whole day are in no part, and nothing orders their clicks."""
    _, stats = prepare(tmp_path, days(small_log.rows()))
    (warning,) = stats["warnings"]
    assert "all dates are whole days" in warning
    assert "`time_added`" in warning and "`rank`" in warning
    assert "sessions of 2023-11-18, just `test_seconds` before" in warning
    assert "set `test_from` 2023-11-19" in warning
    whole = sum(stats[part]["sessions"] for part in ("train", "validation", "test"))
    assert 20 < 200 - whole < 60
    _, stats = prepare(tmp_path, days(small_log.rows()), "--test_from", "2023-11-19", "--overwrite")
    assert "in no part" not in stats["warnings"][0]
    assert sum(stats[part]["sessions"] for part in ("train", "validation", "test")) == 200


def test_a_session_timeout_of_weeks_is_a_warning(tmp_path):
    log = small_log.write(tmp_path / "log.csv", small_log.rows())
    flags = ("--user", "session", *small_log.FLAGS[:2], *small_log.FLAGS[4:])
    more = ("--session_timeout", "1800000", "--input", log, "--output", tmp_path / "data")
    outcome = commands.prepare(*flags, *more)
    assert "session_timeout is 1,800,000 seconds, more than a day" in outcome.err


def test_a_catalogue_below_the_cut_off_is_a_warning(tmp_path):
    rows = small_log.rows(lambda session, row, item: f"i{row % 5}")
    outcome, _ = prepare(tmp_path, rows)
    assert "the log has 5 items, so that any model finds the next one among 20" in outcome.err


@pytest.mark.parametrize("columns", [("1", "2", "3"), ("s0", "2", "3")])
def test_a_row_that_is_taken_for_a_header_is_an_error(tmp_path, columns):
    path = tmp_path / "log.csv"
    lines = small_log.write(path, small_log.rows()).read_text().splitlines()[1:]
    path.write_text("\n".join(lines))
    flags = [*("--dataset", "custom", "--time_format", "seconds", "--input", path)]
    for name, column in zip(("--session", "--time", "--item"), columns, strict=True):
        flags += [name, column]
    sentence = commands.prepare(*flags, "--output", tmp_path / "data").sentence()
    assert "line 1 is 's0,1700000000," in sentence
    assert "is a click and names no columns: set header: false" in sentence


def test_a_placeholder_with_the_separator_may_mean_none(tmp_path):
    rows = small_log.rows(lambda session, row, item: "(not set)" if row % 9 == 0 else item)
    outcome, _ = prepare(tmp_path, rows)
    assert "if '(not set)' means that there is none, name it with --missing" in outcome.sentence()
    outcome, stats = prepare(tmp_path, rows, "--missing", "(not set)", "", "--overwrite")
    assert outcome.code == 0
    assert stats["items"] == 20


JSON_LINE = '{"session": "s", "time": 1700000000, "item": "i", "event": "a view"}\n'


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (JSON_LINE, ("--where", "kind == view"), "has no column 'kind'; its columns are 'session'"),
        (f"[{JSON_LINE}]", (), "is one JSON array, expected a JSON object on each line"),
        (JSON_LINE, ("--format", "csv"), "(or is it JSON lines? format: jsonl)"),
        ("7;8;9\n", ("--format", "csv"), "(or is the delimiter another one?)"),
        ("7,8,9\n", ("--format", "csv"), "(or is the first row no header? header: false)"),
        ("a,b\n", ("--format", "csv", "--delimiter", "::"), "where it is '::', give ':'"),
    ],
)
def test_messages_name_what_else_the_file_may_be(tmp_path, content, flags, message):
    (tmp_path / "log").write_text(content)
    where = ("--input", tmp_path / "log", "--output", tmp_path / "data")
    outcome = commands.prepare(*small_log.FLAGS, "--format", "jsonl", *flags, *where)
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_values_of_conditions_may_be_quoted(tmp_path):
    lines = [
        JSON_LINE.replace("1700000000", str(1_700_000_000 + day * 86_400 + click))
        .replace('"s"', f'"s{day}"')
        .replace('"i"', f'"i{click}"')
        for day in range(4)
        for click in range(2)
    ]
    (tmp_path / "log").write_text("".join(lines))
    where = ("--input", tmp_path / "log", "--output", tmp_path / "data", "--format", "jsonl")
    few = ("--validation_fraction", "0", "--where", "event == 'a view'")
    assert commands.prepare(*small_log.FLAGS, *where, *few).code == 0
