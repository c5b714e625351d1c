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
