"""Data sets that are missing, unfinished, damaged, empty or moved."""

import shutil
from pathlib import Path

import pytest
from commands import run, train
from damages import cut, edit, garbage
from toy import write_dataset


def test_missing_data_set_and_raw_file(tmp_path):
    for dataset, file in [
        ("yoochoose64", "yoochoose-clicks.dat"),
        ("lastfm", "userid-timestamp-artid-artname-traid-traname.tsv"),
    ]:
        sentence = run(
            *("hln_tf.train", "--dataset", dataset, "--data_dir", tmp_path / "data"),
            *("--raw_dir", tmp_path / "raw", "--workdir", tmp_path / "run"),
        ).sentence()
        assert str(tmp_path / "raw" / file) in sentence
        assert "beam_preprocess.download" in sentence
        assert "--raw_dir" in sentence
    assert not list(tmp_path.iterdir())


def test_unfinished_data_set(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "manifest.json").unlink()
    sentence = run(
        *("hln_tf.train", "--dataset", "yoochoose64", "--data_dir", tmp_path / "data"),
        *("--raw_dir", tmp_path / "raw", "--workdir", tmp_path / "run"),
    ).sentence()
    assert f"no prepared data set in {tmp_path / 'data'}" in sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("damage", [cut, garbage, Path.unlink])
def test_damaged_shard(data, tmp_path, split, damage):
    shutil.copytree(data, tmp_path / "data")
    shard = tmp_path / "data" / split / "00000-of-00001.tfrecord"
    damage(shard)
    outcome = train(tmp_path / "data", tmp_path / "run", "--model", "popularity")
    sentence = outcome.sentence()
    assert str(shard.parent) in sentence and "beam_preprocess" in sentence
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("damage", [cut, garbage, Path.unlink])
def test_damaged_vocabulary(data, tmp_path, damage):
    shutil.copytree(data, tmp_path / "data")
    damage(tmp_path / "data" / "vocabulary.txt")
    sentence = train(tmp_path / "data", tmp_path / "run").sentence()
    assert str(tmp_path / "data" / "vocabulary.txt") in sentence
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("model", ["hln", "markov"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("sessions", [[], [[1], [2]]], ids=["empty", "no prefixes"])
def test_split_with_nothing_to_predict(tmp_path, model, split, sessions):
    splits = {name: [[1, 2]] for name in ("train", "validation", "test")}
    write_dataset(tmp_path / "data", {**splits, split: sessions}, num_items=2)
    outcome = train(tmp_path / "data", tmp_path / "run", "--model", model)
    assert str(tmp_path / "data" / split) in outcome.sentence()
    assert not (tmp_path / "run" / "model").exists()


def test_no_items(tmp_path):
    write_dataset(tmp_path / "data", {}, num_items=0)
    assert str(tmp_path / "data") in train(tmp_path / "data", tmp_path / "run").sentence()


def test_items_outside_the_catalogue(tmp_path):
    splits = {"train": [[1, 9]], "validation": [[1, 2]], "test": [[1, 2]]}
    write_dataset(tmp_path / "data", splits, num_items=2)
    sentence = train(tmp_path / "data", tmp_path / "run").sentence()
    assert str(tmp_path / "data" / "train") in sentence and "1 to 2" in sentence


def test_a_moved_data_set_is_to_be_named(popular, data, tmp_path):
    shutil.copytree(popular.path, tmp_path / "run")
    edit(tmp_path / "run" / "config.json", data__directory=str(tmp_path / "moved"))
    call = ("hln_tf.evaluate", "--workdir", tmp_path / "run")
    for content in ((), ("other",)):  # no directory, and one of something else
        for name in content:
            (tmp_path / "moved" / name).mkdir(parents=True)
        sentence = run(*call).sentence()
        assert f"is no longer in {tmp_path / 'moved'}" in sentence and "--data_dir" in sentence
    assert run(*call, "--data_dir", data).code == 0
    # Unnamed, another data set in its place is not meant.
    write_dataset(tmp_path / "moved", {"test": [[1, 2]]}, num_items=2)
    sentence = run(*call).sentence()
    assert "other items" in sentence and "--data_dir" in sentence


def test_evaluating_an_empty_split(trained, tmp_path):
    write_dataset(tmp_path, {}, num_items=30)
    call = ("hln_tf.evaluate", "--workdir", trained.path, "--data_dir", tmp_path)
    assert str(tmp_path / "test") in run(*call).sentence()
