"""Preparation of a data set for a command that needs one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow  # noqa: F401  Its import calls what the tests replace.
import toy

from beam_preprocess.on_demand import Preparation, default_name
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data import sources


def ensure(dataset, data_dir, raw_dir, is_explicit=False, **more):
    return Preparation(dataset, data_dir, is_explicit, raw_dir, **more).ensure()


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
            write(command[command.index("--data_dir") + 1])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    return recorded


DOWNLOADED = [name for name, source in sources.SOURCES.items() if not source.generator]


@pytest.mark.parametrize("dataset", DOWNLOADED)
def test_missing_raw_file_is_named_with_the_command_that_downloads_it(tmp_path, dataset, commands):
    raw, download = sources.SOURCES[dataset].file, sources.SOURCES[dataset].download
    with pytest.raises(HlnError) as caught:
        ensure(dataset, tmp_path / "data", tmp_path / "raw", is_explicit=False)
    message = str(caught.value)
    assert (
        f"no prepared data set in {tmp_path}/data and no raw file {tmp_path}/raw/{raw}" in message
    )
    command = f"python -m beam_preprocess.download {download} --raw_dir {tmp_path}/raw"
    assert f"download it with {command}, or" in message
    assert commands == []


def test_missing_raw_file_of_the_sample_is_generated(tmp_path, commands):
    ensure("sample", tmp_path / "data", tmp_path / "raw", is_explicit=False)
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
        ensure("sample", tmp_path / "data", tmp_path, is_explicit=False)


def test_killed_preprocessing_is_reported(tmp_path, monkeypatch):
    (tmp_path / "sample-clicks.dat").touch()
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, -9)
    )
    with pytest.raises(HlnError, match=r"sample-clicks.dat ended with exit code -9: run it by"):
        ensure("sample", tmp_path / "data", tmp_path, is_explicit=False)


def test_finished_data_set_is_used_without_preprocessing(tmp_path, commands):
    manifest = write(tmp_path / "data", "lastfm")
    assert ensure("sample", tmp_path / "data", tmp_path, is_explicit=True) == manifest
    assert ensure("lastfm", tmp_path / "data", tmp_path, is_explicit=False) == manifest
    assert commands == []


def test_named_inputs_are_preprocessed_even_where_a_data_set_exists(tmp_path, commands):
    data, raw = tmp_path / "data", [tmp_path / "a.csv", tmp_path / "b.csv"]
    toy.write_dataset(data, SPLITS, num_items=2, dataset="custom")
    given = {"item": ("sku", "size"), "header": False, "separator": " "}
    more = {"spec": tmp_path / "log.yaml", "given": given, "overwrite": True}
    inputs = {"input": raw, "test_input": [tmp_path / "c.csv"]}
    with pytest.raises(UsageError, match=r"--item is .* was prepared with"):  # by what is recorded
        ensure("custom", data, tmp_path, True, inputs=inputs, **more)
    (command,) = commands
    assert command[3:] == [
        *("--dataset", "custom", "--data_dir", str(data)),
        *("--input", *map(str, raw), "--test_input", str(tmp_path / "c.csv")),
        *("--spec", str(tmp_path / "log.yaml")),
        *("--item", "sku", "size", "--no-header", "--separator= ", "--overwrite"),
    ]


def test_settings_of_a_finished_data_set_are_checked(tmp_path, commands):
    manifest = write(tmp_path / "data")
    settings = {"train_fraction": "1/2", "min_item_count": 5, "log": {"session": "visit"}}
    dataclasses.replace(manifest, settings=settings).write(tmp_path / "data")
    same = {"train_fraction": "0.5", "min_item_count": 5, "session": "visit", "top_items": 0}
    ensure("sample", tmp_path / "data", tmp_path, True, given=same)
    for name, value in {"train_fraction": "1/4", "min_item_count": 1, "top_items": 9}.items():
        with pytest.raises(UsageError, match=f"--{name} is .*{value}.* but .*/data was prepared"):
            ensure("sample", tmp_path / "data", tmp_path, True, given={name: value})
    assert commands == []


def test_a_fraction_that_the_name_contradicts_is_refused_before_any_work(tmp_path, commands):
    with pytest.raises(UsageError, match="--train_fraction is 1/2, but yoochoose64 names 1/64"):
        given = {"train_fraction": "1/2"}
        ensure("yoochoose64", tmp_path / "data", tmp_path, given=given)
    assert commands == []


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (["clicks.csv"], "custom-clicks"),
        (["logs/2024-01.tsv.gz", "logs/2023-12.tsv.gz"], "custom-2023-12"),
        (["logs/*.csv"], "custom-logs"),
        ([], "custom"),
    ],
)
def test_a_custom_log_names_its_default_directory(inputs, name):
    assert default_name("custom", [Path(path) for path in inputs]) == name
    assert default_name("sample", [Path(path) for path in inputs]) == "sample"


def test_several_fractions_need_a_data_directory(tmp_path, monkeypatch):
    def prepared(command, check):
        write(tmp_path / "data" / "1-4", "custom")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", prepared)
    with pytest.raises(HlnError, match=r"several data sets.* --data_dir .*/data/1-4"):
        more = {"inputs": {"input": [tmp_path / "a"]}, "spec": tmp_path / "s"}
        ensure("custom", tmp_path / "data", tmp_path, **more)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_raw_file_is_preprocessed(tmp_path, commands, suffix):
    raw, data = tmp_path / f"sample-clicks.dat{suffix}", tmp_path / "data"
    raw.touch()
    manifest = ensure("sample", data, tmp_path, False, given={"separator": " "})
    assert manifest.dataset == "sample"
    assert commands == [
        [
            *(sys.executable, "-m", "beam_preprocess", "--dataset", "sample"),
            *("--data_dir", str(data), "--input", str(raw), "--separator= "),
        ]
    ]
