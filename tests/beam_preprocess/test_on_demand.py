"""Preparation of a data set for a command that needs one."""

import subprocess
import sys

import pytest
import tensorflow  # noqa: F401  Its import calls what the tests replace.
import toy

from beam_preprocess.on_demand import ensure_prepared
from hln_tf.common.errors import HlnError
from hln_tf.data import sources

SPLITS = {"train": [[1, 2]], "validation": [[1, 2]], "test": [[2, 1]]}


def write(directory, dataset="sample"):
    return toy.write_dataset(directory, SPLITS, num_items=2, dataset=dataset)


@pytest.fixture
def commands(monkeypatch):
    """Record the preprocessing commands instead of running them."""
    recorded = []

    def record(command, check):
        recorded.append(command)
        if "generate" not in command:
            write(command[command.index("--output") + 1])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    return recorded


DOWNLOADED = [name for name, source in sources.SOURCES.items() if not source.generator]


@pytest.mark.parametrize("dataset", DOWNLOADED)
def test_missing_raw_file_is_named_with_the_command_that_downloads_it(tmp_path, dataset, commands):
    raw, download = sources.SOURCES[dataset].file, sources.SOURCES[dataset].download
    with pytest.raises(HlnError) as caught:
        ensure_prepared(dataset, tmp_path / "data", tmp_path / "raw", is_explicit=False)
    message = str(caught.value)
    assert (
        f"no prepared data set in {tmp_path}/data and no raw file {tmp_path}/raw/{raw}" in message
    )
    command = f"python -m beam_preprocess.download {download} --raw_dir {tmp_path}/raw"
    assert f"download it with {command}, or" in message
    assert commands == []


def test_missing_raw_file_of_the_sample_is_generated(tmp_path, commands):
    ensure_prepared("sample", tmp_path / "data", tmp_path / "raw", is_explicit=False)
    generate, preprocess = commands
    assert generate[1:] == [
        *("-m", "beam_preprocess.sample", "generate"),
        *("--output", str(tmp_path / "raw")),
    ]
    raw = str(tmp_path / "raw" / "sample-clicks.dat")
    assert preprocess[preprocess.index("--input") + 1] == raw


def test_other_data_set_in_the_default_directory_is_refused(tmp_path, commands):
    write(tmp_path / "data", "lastfm")
    with pytest.raises(HlnError, match=r"holds the data set 'lastfm', expected 'sample'.*--data_"):
        ensure_prepared("sample", tmp_path / "data", tmp_path, is_explicit=False)


def test_killed_preprocessing_is_reported(tmp_path, monkeypatch):
    (tmp_path / "sample-clicks.dat").touch()
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, -9)
    )
    with pytest.raises(HlnError, match=r"sample-clicks.dat ended with exit code -9: run it by"):
        ensure_prepared("sample", tmp_path / "data", tmp_path, is_explicit=False)


def test_finished_data_set_is_used_without_preprocessing(tmp_path, commands):
    manifest = write(tmp_path / "data", "lastfm")
    assert ensure_prepared("sample", tmp_path / "data", tmp_path, is_explicit=True) == manifest
    assert ensure_prepared("lastfm", tmp_path / "data", tmp_path, is_explicit=False) == manifest
    assert commands == []


def test_named_inputs_are_preprocessed_even_where_a_data_set_exists(tmp_path, commands):
    data, raw = tmp_path / "data", [tmp_path / "a.csv", tmp_path / "b.csv"]
    toy.write_dataset(data, SPLITS, num_items=2, dataset="custom")
    ensure_prepared("custom", data, tmp_path, True, raw, tmp_path / "log.yaml")
    (command,) = commands
    assert command[3:] == [
        *("--dataset", "custom", "--input", *map(str, raw), "--output", str(data)),
        *("--spec", str(tmp_path / "log.yaml")),
    ]


def test_several_fractions_need_a_data_directory(tmp_path, monkeypatch):
    def prepared(command, check):
        write(tmp_path / "data" / "1-4", "custom")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", prepared)
    with pytest.raises(HlnError, match=r"several fractions .* --data_dir .*/data/1-4"):
        ensure_prepared(
            "custom", tmp_path / "data", tmp_path, False, [tmp_path / "a"], tmp_path / "s"
        )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_raw_file_is_preprocessed(tmp_path, commands, suffix):
    raw, data = tmp_path / f"sample-clicks.dat{suffix}", tmp_path / "data"
    raw.touch()
    manifest = ensure_prepared("sample", data, tmp_path, False, options=["--separator", "|"])
    assert manifest.dataset == "sample"
    assert commands == [
        [
            *(sys.executable, "-m", "beam_preprocess", "--dataset", "sample"),
            *("--input", str(raw), "--output", str(data), "--separator", "|"),
        ]
    ]
