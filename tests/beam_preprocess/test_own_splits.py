"""Splits of one's own: files of each part, and several cut dates from one reading."""

import itertools
import json

import commands
import numpy as np
import pyarrow as pa
import pytest
import small_log
from protocol import assert_same

from beam_preprocess import Settings, prepare
from beam_preprocess.formats import LogFormat
from beam_preprocess.preparation import outputs, prepare_all
from hln_tf import SessionDataset
from hln_tf.data.layout import SPLITS, Manifest
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.sessions import read_split

LOG = LogFormat(session="session", time="time", item=("item",), time_format="seconds")
CUSTOM = {"dataset": "custom", "log": LOG, "order": "time", "min_item_count": 1}
ROWS = small_log.rows()
# Sessions of 60, of 40 and of 100 in no order of date; session 7 is in two of the parts.
NUMBERS = {
    "train": [*range(100, 200), 7],
    "validation": [*range(40), 7],
    "test": [*range(40, 100)],
}


def of_part(part):
    names = {f"s{number}" for number in NUMBERS[part]}
    return [row for row in ROWS if row[0] in names]


def lists(sessions):
    return [
        sessions.items[start:end].tolist() for start, end in itertools.pairwise(sessions.offsets)
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    # By their names alone, train would not be the first.
    names = {"train": "z.csv", "validation": "a.csv", "test": "m.csv"}
    return {part: small_log.write(directory / names[part], of_part(part)) for part in SPLITS}


def test_files_of_each_part_are_the_parts(files, tmp_path):
    data = tmp_path / "data"
    where = ("--output", data, "--input", files["train"])
    parts = ("--validation_input", files["validation"], "--test_input", files["test"])
    outcome = commands.prepare(*small_log.FLAGS, *where, *parts)
    assert outcome.code == 0, outcome.err
    manifest = Manifest.read(data)
    counts = {part: manifest.splits[part].sessions for part in SPLITS}
    assert counts == {"train": 101, "validation": 40, "test": 60}
    assert [file.get("part", "train") for file in manifest.inputs] == list(SPLITS)
    clicks = pa.concat_tables(
        small_log.table(of_part(part)).append_column(
            "part", pa.array(np.full(len(of_part(part)), index))
        )
        for index, part in enumerate(SPLITS)
    )
    settings = Settings(**CUSTOM, part_files="validation+test")
    assert_same(data, prepare_sessions(clicks, settings))
    again = commands.prepare(*small_log.FLAGS, *where, *parts)
    assert "nothing to do" in again.err
    swapped = ("--validation_input", files["test"], "--test_input", files["validation"])
    sentence = commands.prepare(*small_log.FLAGS, *where, *swapped).sentence()
    assert "other settings or other input" in sentence


def test_tables_of_each_part_are_the_parts():
    def table(part):
        rows = of_part(part)
        return pa.table(
            dict(zip(("session", "time", "item"), zip(*rows, strict=True), strict=True))
        )

    columns = {"session": "session", "time": "time", "item": "item", "min_item_count": 1}
    data = SessionDataset.from_clicks(
        table("train"), validation=table("validation"), test=table("test"), **columns
    )
    for part in SPLITS:
        expected = {}
        for session, _, item in of_part(part):
            expected.setdefault(session, []).append(item)
        found = [[data.item_ids[i - 1] for i in row] for row in lists(data.split(part))]
        assert found == list(expected.values())  # in order of date, as the sessions are
    tested = SessionDataset.from_clicks(table("train"), test=table("test"), **columns)
    assert [len(tested.split(part)) for part in SPLITS] == [91, 10, 60]
    validated = SessionDataset.from_clicks(table("train"), validation=table("test"), **columns)
    assert [len(validated.split(part)) for part in SPLITS] == [101, 60, 0]


def test_validation_files_need_test_files(files, tmp_path):
    flags = ("--input", files["train"], "--validation_input", files["test"])
    outcome = commands.prepare(*small_log.FLAGS, *flags, "--output", tmp_path / "data")
    assert "--validation_input goes with --test_input" in outcome.sentence(2)


def test_a_file_of_two_parts_is_refused(files, tmp_path):
    flags = ("--input", files["train"], "--test_input", files["train"])
    outcome = commands.prepare(*small_log.FLAGS, *flags, "--output", tmp_path / "data")
    assert "z.csv is given twice" in outcome.sentence(2)


@pytest.mark.slow
def test_sliding_windows_from_one_reading(tmp_path):
    log = small_log.write(tmp_path / "log.csv", ROWS)
    cuts = ("2023-11-17", "2023-11-18", "2023-11-19")
    windows = {"train_days": 2, "test_days": 1, "validation_days": 1}
    settings = [Settings(**CUSTOM, **windows, test_from=cut) for cut in cuts]
    prepare_all([log], outputs(tmp_path / "all", settings))
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == list(cuts)
    last = None
    for cut, one in zip(cuts, settings, strict=True):
        directory = tmp_path / "all" / cut
        assert_same(directory, prepare_sessions(small_log.table(ROWS), one))
        begin = one.test_begin()
        dates = {part: read_split(directory, part).dates for part in SPLITS}
        assert begin - 2 * 86_400 <= dates["train"].min()
        assert dates["train"].max() < begin - 86_400 <= dates["validation"].min()
        assert dates["validation"].max() < begin <= dates["test"].min()
        assert dates["test"].max() < begin + 86_400
        if last is not None:
            np.testing.assert_array_equal(dates["validation"], last)
        last = dates["test"]


def test_several_cut_dates_by_flags(tmp_path):
    log = small_log.write(tmp_path / "log.csv", ROWS)
    flags = ("--test_from", "2023-11-17,2023-11-19", "--test_days", "1", "--input", log)
    outcome = commands.prepare(*small_log.FLAGS, *flags, "--output", tmp_path / "all")
    assert outcome.code == 0, outcome.err
    stats = json.loads((tmp_path / "all" / "2023-11-17" / "stats.json").read_text())
    assert stats["test"]["first"].startswith("2023-11-17 00")
    assert stats["test"]["last"].startswith("2023-11-17 23")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--test_from", "2023-11-17,2023-11-17"], ["--test_from names the same twice"]),
        (
            ["--test_from", "2023-11-17,2023-11-19", "--train_fraction", "1/2,1"],
            ["several of one"],
        ),
        (
            ["--test_fraction", "0.2", "--test_seconds", "60"],
            ["--test_seconds and --test_fraction exclude each other"],
        ),
        (
            ["--validation_days", "1", "--validation_fraction", "0.2"],
            ["--validation_fraction and --validation_days exclude each other"],
        ),
        (["--test_input", "b.csv", "--test_from", "2023-11-17"], ["--test_from does not apply"]),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, flags, words):
    flags = ("--input", "a.csv", *flags, "--output", tmp_path / "data")
    sentence = commands.prepare(*small_log.FLAGS, *flags).sentence(2)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("fraction", ["1/4", pytest.param("1/7", marks=pytest.mark.slow)])
def test_a_fraction_of_the_sessions_where_many_end_at_once(tmp_path, fraction):
    rows = [(session, time // 40_000 * 40_000, item) for session, time, item in ROWS]
    log = small_log.write(tmp_path / "log.csv", rows)
    settings = Settings(**CUSTOM, test_fraction=fraction)
    prepare([log], tmp_path / "data", settings)
    prepared = prepare_sessions(small_log.table(rows), settings)
    assert_same(tmp_path / "data", prepared)
    assert prepared.train.dates.max() < prepared.test.dates.min()
    assert 0 < len(prepared.test) <= 200 * float(np.divide(*map(int, fraction.split("/"))))
