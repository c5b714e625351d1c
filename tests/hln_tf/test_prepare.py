"""Training from a raw log: the preprocessing runs by itself."""

import json

import pytest
from commands import run
from toy import write_dataset


def write_log(path):
    """Three days of sessions over five items, in the format of Yoochoose."""
    rows = []
    for session in range(60):
        day = 1 + session // 20
        for click in range(3):
            time = f"2014-04-0{day}T10:{session % 20:02}:{click:02}.000Z"
            rows.append(f"{session},{time},{1000 + (session + click) % 5},0\n")
    path.parent.mkdir(parents=True)
    path.write_text("".join(rows))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_raw_log_is_preprocessed_and_trained_on(elsewhere):
    write_log(elsewhere / "data" / "raw" / "sample-clicks.dat")
    outcome = run("hln_tf.train", "--dataset", "sample", "--model", "markov")
    assert outcome.code == 0, outcome.err
    assert "preparing data/sample from data/raw/sample-clicks.dat" in outcome.err
    manifest = json.loads((elsewhere / "data" / "sample" / "manifest.json").read_text())
    assert manifest["items"] == 5
    assert (elsewhere / "runs" / "sample" / "markov" / "metrics.json").is_file()
    outcome = run("hln_tf.recommend", "--workdir", "runs/sample/markov", "--session", "1001")
    assert outcome.out.split()[1] == "1002"
    again = run("hln_tf.train", "--dataset", "sample", "--model", "popularity")
    assert again.code == 0
    assert "preparing" not in again.err


def test_failed_preprocessing_is_one_sentence(elsewhere, monkeypatch):
    write_log(elsewhere / "data" / "raw" / "sample-clicks.dat")
    monkeypatch.setattr("hln_tf.data.sources.sys.executable", "/bin/false")
    sentence = run("hln_tf.train", "--dataset", "sample").sentence()
    assert "preprocessing of data/raw/sample-clicks.dat failed with exit code 1" in sentence
    assert not (elsewhere / "runs").exists()


def test_named_directory_is_used_whatever_its_data_set(elsewhere, splits):
    write_dataset(elsewhere / "mine", splits, 30, dataset="yoochoose4")
    where = ("--dataset", "yoochoose64", "--data_dir", "mine", "--model", "popularity")
    assert run("hln_tf.train", *where).code == 0
    config = json.loads((elsewhere / "runs/yoochoose64/popularity/config.json").read_text())
    assert config["data"]["dataset"] == "yoochoose4"


def test_default_directory_with_another_data_set_is_refused(elsewhere, splits):
    write_dataset(elsewhere / "data" / "yoochoose64", splits, 30, dataset="yoochoose4")
    sentence = run("hln_tf.train", "--dataset", "yoochoose64").sentence()
    assert "data/yoochoose64" in sentence and "'yoochoose4'" in sentence
    assert "--data_dir" in sentence
    assert not (elsewhere / "runs").exists()
