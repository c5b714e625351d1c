"""The report of a prepared data set."""

import re
import struct

import pytest
import toy
from commands import run

from beam_preprocess.description import describe
from beam_preprocess.progress import describe as progress_line
from hln_tf.data.layout import SPLITS

SESSIONS = {
    "train": [[1, 2], [1, 2, 1], [3, 1]],
    "validation": [[2, 1]],
    "test": [[1, 4], [4, 4, 2]],
}


@pytest.fixture
def data(tmp_path):
    toy.write_dataset(tmp_path / "data", SESSIONS, num_items=4, dataset="custom")
    (tmp_path / "data" / "stats.json").write_text('{"clicks_left": {"read": 20, "frequent": 14}}')
    return tmp_path / "data"


def test_numbers_of_the_description(data):
    described = describe(data)
    assert described.popularity.tolist() == [5, 3, 1, 0]
    assert (described.test_items, described.unseen_items) == (3, 1)
    assert (described.test_targets, described.unseen_targets) == (3, 2)
    assert described.lengths("train").tolist() == [2, 3, 2]
    days, clicks = described.days("train")
    assert (days.tolist(), clicks.tolist()) == ([0], [7])
    tables = described.tables()
    assert tables["Parts"][0][3] == "examples"
    assert tables["Test part"][2] == ["targets", "3", "2", "66.67%"]
    assert tables["Test part"][3] == ["targets, by train alone", "3", "2", "66.67%"]
    assert tables["Clicks that the filters left"][1:] == [["read", "20"], ["frequent", "14"]]
    assert [row[0] for row in tables["Parts"][1:]] == list(SPLITS)


def test_command_prints_tables_and_writes_figures(data, tmp_path):
    outcome = run("beam_preprocess.report", data, "--output", tmp_path / "report")
    assert outcome.code == 0, outcome.err
    assert "custom" not in outcome.out and "66.67%" in outcome.out
    png = (tmp_path / "report" / "report.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (1430, 990)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<title>custom" in page and "66.67%" in page
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_parts_may_be_empty(tmp_path):
    toy.write_dataset(tmp_path, {**SESSIONS, "validation": []}, num_items=4)
    (tmp_path / "stats.json").write_text("{}")
    assert run("beam_preprocess.report", tmp_path).code == 0


def test_no_data_set_is_one_sentence(tmp_path):
    assert "there is no data set" in run("beam_preprocess.report", tmp_path / "none").sentence()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("start", 0, 0.0, 1.0), "running, 1 s"),
        (
            ("read", 3_000_000, 0.5, 6.0),
            "read: 3,000,000 clicks (50% of the log), 6 s, 500,000 clicks/s, about 18 s left",
        ),
        (
            ("group sessions", 3_000_000, 1.0, 10.0),
            "group sessions: 3,000,000 clicks (100% of the log), 10 s, about 10 s left",
        ),
    ],
)
def test_progress(arguments, line):
    assert progress_line(*arguments) == line
