"""Data sets, runs and models in an object store, read as those on this machine are."""

from pathlib import Path
from unittest import mock

import fsspec
import numpy as np
import pytest
from commands import digests, run
from toy import raw_id, write_dataset

import hln_tf
from hln_tf.common.errors import HlnError
from hln_tf.data import stores
from hln_tf.training.fitting import run_config
from hln_tf.training.run_directory import RunDirectory
from serving.directory import copy_version, find_versions

ITEMS = 12
DATA, RUN = "s3://clicks/data/walks", "s3://clicks/runs/markov"


def walks(count, first=0):
    return [[(first + 5 * s + i) % ITEMS + 1 for i in range(2 + s % 4)] for s in range(count)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "walks"
    splits = {"train": walks(60), "validation": walks(20, 3), "test": walks(20, 5)}
    write_dataset(directory, splits, ITEMS, shards=3)
    return directory


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "markov"
    assert train(data, path).code == 0
    return path


@pytest.fixture
def there(store, data):
    store.put_directory("data/walks", data)
    return store


def train(data_dir, workdir):
    arguments = ("--dataset", "sample", "--model", "markov", "--data_dir", data_dir)
    return run("hln_tf.train", *arguments, "--workdir", workdir)


def batches(directory, **options):
    dataset = hln_tf.SessionDataset.from_directory(directory)
    found = dataset.examples(4, **options).as_numpy_iterator()
    return [(batch["items"].tolist(), batch["target"].tolist()) for batch in found]


def test_a_data_set_has_the_same_examples(there, data):
    for options in ({}, {"streamed": True}, {"streamed": True, "shuffle": False}):
        assert batches(DATA, **options) == batches(data, **options)
    dataset = hln_tf.SessionDataset.from_directory(f"{DATA}/")
    assert dataset.item_ids == [raw_id(item) for item in range(1, ITEMS + 1)]


def test_only_what_is_read_is_copied_and_once(there, data):
    requests = []
    there.breaks = lambda method, path, query, copies: requests.append((method, path))
    test = hln_tf.SessionDataset.from_directory(DATA).split("test")
    assert len(test) == 20
    fetched = {path for method, path in requests if method == "GET" and path.count("/") > 2}
    assert not [path for path in fetched if "train" in path or "validation" in path]
    requests.clear()
    hln_tf.SessionDataset.from_directory(DATA).split("test")
    assert {path.strip("/") for _, path in requests} == {"clicks"}  # it is listed


def test_another_data_set_at_the_same_url_is_read_anew(there, data, tmp_path):
    before = hln_tf.SessionDataset.from_directory(DATA).split("train").items
    write_dataset(tmp_path / "other", {"train": walks(60, 4)}, ITEMS, shards=3)
    there.put_directory("data/walks", tmp_path / "other")
    after = hln_tf.SessionDataset.from_directory(DATA).split("train").items
    assert np.any(before != after)


def test_a_file_that_is_replaced_while_it_is_copied(there, data):
    content = (data / "vocabulary.txt").read_bytes()
    replaced = []

    def replaces(method, path, query, copies):
        if method == "GET" and path.endswith("/vocabulary.txt") and not replaced:
            replaced.append(path)
            there.put("data/walks/vocabulary.txt", content[::-1])

    there.breaks = replaces
    with pytest.raises(HlnError, match=r"walks/vocabulary.txt was replaced while s3://.* copied"):
        hln_tf.SessionDataset.from_directory(DATA)
    there.put("data/walks/vocabulary.txt", content)
    assert len(hln_tf.SessionDataset.from_directory(DATA).item_ids) == ITEMS


def test_what_is_no_finished_data_set(there, data):
    with pytest.raises(HlnError, match="there is no data set in s3://clicks/data/none: run"):
        hln_tf.SessionDataset.from_directory("s3://clicks/data/none")
    there.put("half/stats.json", b"{}")
    with pytest.raises(
        HlnError,
        match=r"half/manifest.json does not exist, .*: .* is an unfinished",
    ):
        hln_tf.SessionDataset.from_directory("s3://clicks/half")
    there.put("data/walks/train/00001-of-00003.tfrecord", b"no records" * 9)
    with pytest.raises(HlnError, match=f"{DATA}/train/00001-of-00003.tfrecord is corrupt"):
        hln_tf.SessionDataset.from_directory(DATA).split("train")


def test_errors_of_stores_are_one_sentence(there):
    there.refuses = lambda method, path, query, copies: "vocabulary" in path
    with pytest.raises(HlnError, match=r"walks/vocabulary.txt cannot be read \(.*\): check the"):
        hln_tf.SessionDataset.from_directory(DATA)
    there.reset()
    there.breaks = lambda method, path, query, copies: "tfrecord" in path
    with pytest.raises(HlnError, match=r"00000-of-00003.tfrecord cannot be read"):
        hln_tf.SessionDataset.from_directory(DATA).split("train")
    with pytest.raises(HlnError, match=r"s3://nowhere/x cannot be read .*bucket does not exist"):
        hln_tf.SessionDataset.from_directory("s3://nowhere/x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gs://bucket/data", "needs a Python package that is not installed .* pip install gcsfs"),
        ("nimbus://bucket/data", r"cannot be read \(Protocol not known: nimbus\)"),
    ],
)
def test_other_schemes_name_what_they_need(url, words):
    with pytest.raises(HlnError, match=words):
        hln_tf.SessionDataset.from_directory(url)


def test_a_name_that_leaves_its_directory_is_refused(store, tmp_path):
    fsspec.filesystem("memory").pipe("/odd/../manifest.json", b"{}")
    with pytest.raises(HlnError, match=r"memory://odd/\.\./manifest.json has '\.\.' or '//' in"):
        hln_tf.SessionDataset.from_directory("memory://odd")
    store.put("odd/1/saved_model.pb", b"")
    store.put(f"odd/1/{tmp_path}/planted", b"")
    with pytest.raises(HlnError, match=r"s3://clicks/odd/1//.*/planted has '\.\.' or '//' in"):
        copy_version("s3://clicks/odd/1")
    assert not (tmp_path / "planted").exists()


def test_objects_that_mark_directories_are_left_out(there, data):
    for name in ("", "train/", "test/"):
        there.put(f"data/walks/{name}", b"")
    assert batches(DATA) == batches(data)
    copy = stores.local_copy(DATA)
    assert digests(copy) == digests(data)


def test_a_store_that_lists_no_sizes_is_refused():
    listing = {"/d/file": {"name": "/d/file", "size": None, "type": "file"}}
    with (
        mock.patch("fsspec.implementations.memory.MemoryFileSystem.find", return_value=listing),
        pytest.raises(HlnError, match="memory://d is in a store that lists no sizes"),
    ):
        stores.local_copy("memory://d")


@pytest.mark.slow
def test_a_store_that_refuses_is_no_store_without_the_file(there, workdir, data, tmp_path):
    there.refuses = lambda method, path, query, copies: True
    with pytest.raises(HlnError, match=r"walks/manifest.json cannot be read \(Forbidden\)"):
        stores.is_file(f"{DATA}/manifest.json")
    there.reset()
    assert not stores.is_file(f"{DATA}/none.json") and stores.is_file(f"{DATA}/manifest.json")
    outcome = train(DATA, tmp_path / "run")
    assert outcome.code == 0, outcome.err
    there.refuses = lambda method, path, query, copies: True
    sentence = run("hln_tf.evaluate", "--workdir", tmp_path / "run").sentence()
    assert f"{DATA}/manifest.json cannot be read" in sentence
    # Another directory that is named is enough, for the training's settings too.
    outcome = run("hln_tf.evaluate", "--workdir", tmp_path / "run", "--data_dir", data)
    assert outcome.code == 0, outcome.err
    config = tmp_path / "run" / "config.json"
    given = ("--config", config, "--data_dir", data, "--workdir", tmp_path / "again")
    outcome = run("hln_tf.train", *given)
    assert outcome.code == 0, outcome.err


def test_what_is_written_here_is_not_named_by_a_url(workdir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recommender = hln_tf.load(workdir)
    with pytest.raises(HlnError, match="`path` is s3://clicks/x, expected a directory of this"):
        recommender.save("s3://clicks/x")
    with pytest.raises(HlnError, match="`base` is s3://clicks/x, expected a directory of this"):
        recommender.export("s3://clicks/x")
    sentence = run("serving.export", "--workdir", workdir, "--output", "s3://clicks/x").sentence(2)
    assert "--output is s3://clicks/x, expected a directory of this machine" in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_is_evaluated_and_recommends(there, workdir, data):
    there.put_directory("runs/markov", workdir)
    for command, here, remote in (
        ("hln_tf.evaluate", ["--data_dir", data], ["--data_dir", DATA]),
        ("hln_tf.recommend", ["--session", "i1 i2"], ["--session", "i1 i2"]),
    ):
        local = run(command, "--workdir", workdir, *here)
        assert local.code == 0, local.err
        assert run(command, "--workdir", RUN, *remote).out == local.out
    reports = [run("hln_tf.report", path).out.splitlines()[-1] for path in (workdir, RUN)]
    assert reports[0].split("|")[2:] == reports[1].split("|")[2:]
    sentence = run("hln_tf.evaluate", "--workdir", "s3://clicks/runs/none").sentence()
    assert "s3://clicks/runs/none/config.json does not exist" in sentence


def test_a_run_that_starts_from_another_names_its_url(there, workdir, data):
    there.put_directory("runs/markov", workdir)
    dataset = hln_tf.SessionDataset.from_directory(data)
    assert run_config(dataset, "hln", None, {}, RunDirectory(RUN)).init_from == RUN


@pytest.mark.slow
def test_a_training_reads_a_data_set_and_writes_here(there, workdir, tmp_path):
    outcome = train(DATA, tmp_path / "run")
    assert outcome.code == 0, outcome.err
    metrics = [hln_tf.load(path).metrics["test"] for path in (workdir, tmp_path / "run")]
    assert metrics[0] == metrics[1]
    sentence = train(DATA, RUN).sentence(2)
    assert f"--workdir is {RUN}, expected a directory of this machine" in sentence


def test_versions_of_a_model_are_found_and_copied(store, tmp_path):
    for version in ("1", "12", "x"):
        store.put(f"models/m/{version}/saved_model.pb", version.encode())
        store.put(f"models/m/{version}/variables/variables.index", b"index")
    found = find_versions("s3://clicks/models/m")
    assert sorted(found) == [1, 12] and found[12].path == "s3://clicks/models/m/12"
    store.put("models/m/12/variables/variables.data", b"more")
    again = find_versions("s3://clicks/models/m")
    assert again[1] == found[1] and again[12] != found[12]
    with copy_version(found[12].path) as copy:
        assert (Path(copy) / "variables" / "variables.data").read_bytes() == b"more"
    with pytest.raises(FileNotFoundError):
        find_versions("s3://clicks/models/none")
