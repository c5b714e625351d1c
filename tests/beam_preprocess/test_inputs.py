"""Inputs of many files: directories, patterns, and files without a row."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_logs import read_log

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.formats import LogFormat
from beam_preprocess.inputs import describe_files, expand_inputs
from hln_tf.common.errors import HlnError, UsageError

HEADER = "session,time,item\n"
LOG = LogFormat(session="session", time="time", time_format="seconds", item=("item",))
# The logs are too small for a validation part.
SMALL = {"dataset": "custom", "min_item_count": 1, "validation_fraction": "0"}
CONFIG = Settings(log=LOG, order="time", test_seconds=3600, **SMALL)


def hourly(directory, hours=6):
    """Write hourly exports of three sessions each; returns their paths."""
    directory.mkdir(parents=True)
    paths = []
    for hour in range(hours):
        rows = [
            f"s{hour}-{session},{1_700_000_000 + hour * 3600 + session * 60 + click},i{click}\n"
            for session in range(3)
            for click in range(3)
        ]
        paths.append(directory / f"clicks_hour_{hour:03}.csv")
        paths[-1].write_text(HEADER + "".join(rows))
    return paths


def stats(inputs, output):
    prepare(inputs, output, CONFIG, Work(workers=1))
    return json.loads((output / "stats.json").read_text())


def test_an_empty_file_among_many_is_a_warning(tmp_path):
    paths = hourly(tmp_path / "raw")
    paths[1].write_text(HEADER)
    paths[2].write_text("")
    paths[4].write_bytes(gzip.compress(b""))
    found = stats([tmp_path / "raw"], tmp_path / "out")
    assert found["rows"] == 3 * 9
    warning = found["warnings"][0]
    assert "3 of 6 files have no row" in warning
    assert all(str(paths[hour]) in warning for hour in (1, 2, 4))


def test_malformed_rows_after_an_empty_file_are_located(tmp_path):
    paths = hourly(tmp_path / "raw", 3)
    paths[0].write_text(HEADER)
    paths[2].write_text(paths[2].read_text() + "a,b\n")
    _, found = read_log(paths, LOG)
    assert "clicks_hour_002.csv, line 11: 'a,b'" in found.problem


@pytest.mark.parametrize("content", ["", HEADER, "\n"])
def test_where_all_files_are_empty_there_is_no_data_set(tmp_path, content):
    paths = hourly(tmp_path / "raw", 5)
    for path in paths:
        path.write_text(content)
    with pytest.raises(HlnError, match="none of the 5 files of the input has a row") as caught:
        stats(paths, tmp_path / "out")
    assert "and 2 more" in str(caught.value)
    with pytest.raises(HlnError, match="is empty"):
        stats(paths[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_parquet_file_without_rows_among_others_is_a_warning(tmp_path):
    table = pa.table({"session": ["a", "a", "b", "b"], "time": [0, 1, 90_000, 90_001]})
    table = table.append_column("item", pa.array(["x", "y", "x", "y"]))
    times = pa.array([1_700_000_000 + time for time in table["time"].to_pylist()])
    table = table.set_column(1, "time", times)
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "0.parquet")
    log = LogFormat(
        format="parquet", session="session", time="time", time_format="seconds", item=("item",)
    )
    tables, found = read_log([tmp_path / "*.parquet"], log)
    assert [clicks.num_rows for clicks in tables] == [4]
    assert "1 of 2 files have no row" in found.warnings[0] and "0.parquet" in found.warnings[0]


def test_directories_and_patterns_are_the_files_in_them(tmp_path):
    paths = hourly(tmp_path / "raw" / "day=1", 3)
    for name in ("_SUCCESS", ".clicks.csv.crc"):
        (tmp_path / "raw" / name).write_text("no log")
    for given in ("raw", "raw/day=1/clicks*.csv", "raw/*", "raw/**/*.csv"):
        assert expand_inputs([tmp_path / given]) == [str(path) for path in paths]


def test_links_in_a_directory_are_followed_once(tmp_path):
    paths = hourly(tmp_path / "elsewhere", 2)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "raw")
    linked = [str(tmp_path / "raw" / "linked" / path.name) for path in paths]
    assert expand_inputs([tmp_path / "raw"]) == linked


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """The tests may run as root, who can read all."""

    def scandir(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(PermissionError):
        expand_inputs([tmp_path])


def test_a_file_may_have_the_characters_of_patterns_in_its_name(tmp_path):
    path = tmp_path / "clicks[1].csv"
    path.touch()
    assert expand_inputs([path]) == [str(path)]


def test_inputs_without_a_file_are_named(tmp_path):
    (tmp_path / "none").mkdir()
    for given, words in (
        ("none", "holds no file"),
        ("*.csv", "matches no file"),
        ("x", "does not exist"),
    ):
        with pytest.raises(HlnError, match=words):
            expand_inputs([tmp_path / given])


def test_a_file_that_a_directory_repeats_is_refused(tmp_path):
    paths = hourly(tmp_path / "raw", 2)
    with pytest.raises(UsageError, match="given twice"):
        stats([tmp_path / "raw", paths[0]], tmp_path / "out")


def test_a_long_list_of_files_is_short():
    assert describe_files(["a", "b", "c"]) == "a, b, c"
    assert describe_files([f"{n}.csv" for n in range(744)]) == "0.csv, 1.csv, 2.csv and 741 more"
