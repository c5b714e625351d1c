"""Equality of the data sets, byte by byte, that different runners write."""

import hashlib
import pickle

import numpy as np
import pytest

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.generate import LogSettings, generate
from beam_preprocess.spill import Spill, peek, take
from hln_tf.common.errors import HlnError, UsageError

CONFIG = Settings(train_fraction="1/2", validation_fraction="0.2")
WORK = Work(workers=2, partitions=3, block_bytes=200_000)


def digests(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Generate a log of several blocks, and digests of its data set from one thread."""
    directory = tmp_path_factory.mktemp("runners")
    generate(LogSettings(output=str(directory / "log"), clicks=20_000))
    prepare([directory / "log"], directory / "data", CONFIG, Work(workers=1, partitions=1))
    return directory / "log", digests(directory / "data")


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="threads"),
        pytest.param(
            ["--direct_running_mode", "multi_processing", "--direct_num_workers", "2"],
            id="processes",
        ),
        # Named runners get the values themselves, without files between the steps.
        pytest.param(["--runner", "FnApiRunner"], id="no files"),
        pytest.param(["--runner", "BundleBasedDirectRunner"], id="another runner"),
    ],
)
def test_same_bytes(log, tmp_path, flags):
    path, expected = log
    prepare([path], tmp_path / "data", CONFIG, WORK, flags)
    assert digests(tmp_path / "data") == expected
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert not [entry.name for entry in (tmp_path / "data").iterdir() if entry.name[0] == "."]


def test_unknown_runner(log, tmp_path):
    with pytest.raises(UsageError, match="'Nimbus' is not a runner that Beam has"):
        prepare([log[0]], tmp_path / "data", CONFIG, WORK, ["--runner", "Nimbus"])


def test_beam_flushes_from_one_thread_only():
    """A second one would lose elements; this fails when Beam no longer reads the number we set."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.runners.worker import data_plane

    from beam_preprocess.preparation import chosen_runner

    chosen_runner(Work())
    assert worker_handlers.DATA_BUFFER_TIME_LIMIT_MS == 0
    stream = data_plane.ClosableOutputStream.create(None, None, 0)
    assert not isinstance(stream, data_plane.TimeBasedBufferingClosableOutputStream)


def test_large_values_are_stored_in_files_until_they_are_taken(tmp_path):
    large, spill = np.arange(10_000), Spill(str(tmp_path))
    spilled = spill.put(large)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(pickle.dumps(spilled)) < 1000
    assert np.array_equal(peek(spilled), large)
    assert np.array_equal(take(spilled), large)
    assert not list(tmp_path.iterdir())
    assert spill.put("small") == peek("small") == take("small") == "small"
    assert Spill().put(large) is large


def test_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(HlnError, match=r"cannot be written \(No such file or directory\): free"):
        Spill(str(tmp_path / "gone")).put(np.arange(10_000))
