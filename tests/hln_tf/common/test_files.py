import os
import re
import stat
import subprocess
import sys

import pytest
from commands import ROOT

from hln_tf.common import files
from hln_tf.common.errors import HlnError


class Stop(Exception):  # noqa: N818
    pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "file.txt"


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_failure_leaves_nothing(path, error):
    with pytest.raises(error), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert list(path.parent.iterdir()) == []


def test_failure_leaves_the_old_file(path):
    path.parent.mkdir()
    path.write_text("old")
    with pytest.raises(Stop), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise Stop
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_the_old_content_remains_until_the_new_is_complete(path):
    path.parent.mkdir()
    path.write_text("old")
    with files.atomic_write(path) as temporary:
        # A rename within one directory is atomic.
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_still_reads_the_file_that_it_opened(path):
    path.parent.mkdir()
    path.write_text("old")
    with open(path) as reader:
        with files.atomic_write(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with files.atomic_write(tmp_path / "file") as temporary:
            temporary.touch()
        with files.atomic_directory(tmp_path / "directory"):
            pass
        assert files.current_umask() == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o777 & ~umask


def test_abandoned_directories_of_killed_processes_are_removed(tmp_path):
    path, other = tmp_path / "data", tmp_path / "data2"
    code = """
import os, signal, sys
from hln_tf.common import files
with files.atomic_directory(sys.argv[1]) as directory:
    (directory / "part").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for killed in (path, other):
        subprocess.run([sys.executable, "-c", code, killed], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with files.atomic_directory(path) as first:
        assert len(list(tmp_path.iterdir())) == 2
        path.mkdir()  # the directory of a live process is not removed
        path.rmdir()
        with pytest.raises(Stop), files.atomic_directory(path):
            assert first.is_dir()
            raise Stop
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names[1] == "data"
    assert len(names) == 2 and names[0].startswith(".data2.")


def test_directories_are_written_atomically(tmp_path):
    path = tmp_path / "made" / "directory"
    with pytest.raises(Stop), files.atomic_directory(path) as temporary:
        (temporary / "part").touch()
        raise Stop
    assert list(path.parent.iterdir()) == []
    with files.atomic_directory(path) as temporary:
        (temporary / "part").touch()
        assert not path.exists()
    assert [entry.name for entry in path.iterdir()] == ["part"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: do so"),
        (b"{", "is not valid JSON (.*): do so"),
        (b"\xff", "is not valid JSON (.*): do so"),
    ],
)
def test_json_that_cannot_be_read_is_named_with_the_remedy(tmp_path, content, message):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HlnError, match=f"^{re.escape(str(path))} {message}$"):
        files.read_json(path, "do so")


def test_json_directory_is_named_with_the_remedy(tmp_path):
    with pytest.raises(HlnError, match=r"cannot be read .*: do so"):
        files.read_json(tmp_path, "do so")


def test_json_is_read_back(path):
    value = {"ü": [1, 2.5, None, True], "nested": {"a": "b"}}
    files.write_json(path, value)
    assert files.read_json(path, "") == value
    assert "ü" in path.read_text("utf-8")


def test_sha256(path):
    path.parent.mkdir()
    path.write_bytes(b"abc")
    assert files.sha256(path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
