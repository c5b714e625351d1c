"""Data sets that Beam reads from and writes to an object store."""

import pytest
from commands import digests, prepare
from small_log import FLAGS, rows, write

URL = "s3://clicks/data/small"
FLAGS = (*FLAGS, "--shards", "1", "--workers", "2")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write(tmp_path_factory.mktemp("log") / "log.csv", rows())


@pytest.fixture
def raw(store, log):
    store.put("raw/log.csv", log.read_bytes())
    return "s3://clicks/raw/log.csv"


def names(store):
    return set(store.objects())


@pytest.mark.slow
def test_same_bytes_as_in_a_local_directory(store, raw, log, tmp_path):
    assert prepare("--input", raw, "--output", URL, *FLAGS).code == 0
    assert prepare("--input", log, "--output", tmp_path / "data", *FLAGS).code == 0
    assert store.digests("data/small") == digests(tmp_path / "data")
    assert not [name for name in names(store) if ".tmp" in name]
    again = prepare("--input", raw, "--output", URL, *FLAGS)
    assert again.code == 0 and f"{URL} already holds this data set" in again.err
    other = prepare("--input", raw, "--output", URL, *FLAGS, "--min_item_count", "2")
    assert "pass --overwrite to replace it" in other.sentence()


@pytest.mark.parametrize(
    ("given", "output", "words"),
    [
        ("s3://clicks/raw/none.csv", "here", "s3://clicks/raw/none.csv does not exist"),
        ("s3://clicks/raw/log.csv", "s3://nowhere/data", "bucket does not exist"),
        ("nimbus://clicks/log.csv", "here", "is in no file system that Beam can use"),
    ],
)
def test_what_is_not_there_is_named(raw, given, output, words, tmp_path):
    target = output if "://" in output else tmp_path / output
    assert words in prepare("--input", given, "--output", target, *FLAGS).sentence()


def test_without_credentials(raw, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    sentence = prepare("--input", raw, "--output", URL, *FLAGS).sentence()
    assert f"{URL} cannot be written (Unable to locate credentials)" in sentence


def test_a_store_that_refuses_to_be_read(store, raw, tmp_path):
    store.refuses = lambda method, path, query, copies: path.startswith("/clicks/raw")
    sentence = prepare("--input", raw, "--output", tmp_path / "data", *FLAGS).sentence()
    assert f"{raw} cannot be read" in sentence and "Forbidden" in sentence
    assert "credentials" in sentence and not (tmp_path / "data").exists()


def test_a_store_that_refuses_to_be_written(store, raw):
    store.refuses = lambda method, path, query, copies: "/data/" in path and method != "GET"
    sentence = prepare("--input", raw, "--output", URL, *FLAGS).sentence()
    assert f"{URL} cannot be written" in sentence and "AccessDenied" in sentence
    store.reset()
    assert names(store) == {"raw/log.csv"}


@pytest.mark.slow
def test_a_shard_that_is_refused_leaves_no_data_set(store, raw):
    uploads = []

    def refuses(method, path, query, copies):
        if method == "PUT" and "partNumber" in query and not copies:
            uploads.append(path)
        return len(uploads) == 3

    store.refuses = refuses
    sentence = prepare("--input", raw, "--output", URL, *FLAGS).sentence()
    assert "cannot be written" in sentence and "while running" not in sentence
    store.reset()
    # Beam may yet complete the upload that failed, under its temporary name.
    assert {name for name in names(store) if ".tmp/.unfinished/" not in name} == {"raw/log.csv"}


def broken_run(store, raw, breaks):
    store.breaks = breaks
    sentence = prepare("--input", raw, "--output", URL, *FLAGS).sentence()
    store.reset()
    assert "data/small/manifest.json" not in names(store)
    return sentence


def test_a_directory_that_is_marked_is_empty(store, raw):
    store.put("data/small/", b"")
    assert prepare("--input", raw, "--output", URL, *FLAGS).code == 0


@pytest.mark.slow
def test_a_store_that_breaks_off_while_shards_are_written(store, raw, log, tmp_path):
    broken = []

    def breaks(method, path, query, copies):
        if method == "PUT" and "/small." in path and "train" in path:
            broken.append(path)
        return bool(broken)

    sentence = broken_run(store, raw, breaks)
    assert "cannot be written" in sentence and f"{URL}." in sentence.rpartition("below")[2]
    assert prepare("--input", raw, "--output", URL, *FLAGS).code == 0
    assert prepare("--input", log, "--output", tmp_path / "data", *FLAGS).code == 0
    assert store.digests("data/small") == digests(tmp_path / "data")


@pytest.mark.slow
def test_a_store_that_breaks_off_while_the_directory_moves(store, raw):
    broken = []

    def breaks(method, path, query, copies):
        if copies and "/data/small/train" in path:
            broken.append(path)
        return bool(broken)

    assert "cannot be written" in broken_run(store, raw, breaks)
    store.put("data/small/stats.json", b"{}")
    sentence = prepare("--input", raw, "--output", URL, *FLAGS).sentence()
    assert f"{URL} holds an unfinished data set, without manifest.json" in sentence
    assert prepare("--input", raw, "--output", URL, *FLAGS, "--overwrite").code == 0
    assert "manifest.json" in store.digests("data/small")
    store.put("data/other/file", b"mine")
    outcome = prepare("--input", raw, "--output", "s3://clicks/data/other", *FLAGS, "--overwrite")
    assert "holds other files and no finished data set" in outcome.sentence()
