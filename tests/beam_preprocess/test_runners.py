"""Equality of the data sets, byte by byte, that different runners write."""

import hashlib

import pytest

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.generate import LogSettings, generate
from hln_tf.common.errors import UsageError

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
        pytest.param(["--direct_running_mode", "multi_threading"], id="threads by gRPC"),
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
