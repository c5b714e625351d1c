"""Copies of directories in object stores: those that nothing has opened for long are removed."""

import fcntl
import os
import shutil
import time
from pathlib import Path

import fsspec
import pytest

from hln_tf.data import stores

DAY = 24 * 3600


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HLN_TF_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    for name in "abc":
        files.pipe(f"/copies/{name}/file", name.encode())
    yield tmp_path / "cache" / "copies"
    files.rm("/copies", recursive=True)


def copy(name):
    return stores.local_copy(f"memory://copies/{name}")


def age(path: Path, days: float):
    os.utime(path.parent, times=(time.time() - days * DAY,) * 2)


def test_a_new_copy_removes_those_that_were_not_opened_for_thirty_days(cache):
    old, recent = copy("a"), copy("b")
    age(old, 31)
    age(recent, 29)
    new = copy("c")
    assert set(cache.iterdir()) == {recent.parent, new.parent}
    assert (copy("a") / "file").read_bytes() == b"a"


def test_a_copy_is_opened_whenever_it_is_read(cache):
    old = copy("a")
    age(old, 31)
    assert copy("a") == old  # which removes nothing, least of all itself
    copy("b")
    assert (old / "file").read_bytes() == b"a"


def test_nothing_is_removed_without_a_new_copy(cache):
    old, recent = copy("a"), copy("b")
    age(old, 31)
    copy("b")
    assert set(cache.iterdir()) == {old.parent, recent.parent}


def test_a_directory_without_files_has_no_copy_and_removes_none(cache):
    old = copy("a")
    age(old, 31)
    assert not copy("none").exists() and old.exists()


def test_one_process_at_a_time_records_a_use_or_removes_copies(cache, monkeypatch):
    """Otherwise one removes a copy that another has just opened."""
    age(copy("a"), 31)
    calls = []

    def watched(function):
        def call(*arguments, **options):
            calls.append((function.__name__, is_locked(cache)))
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(stores.os, "utime", watched(os.utime))
    monkeypatch.setattr(stores.shutil, "rmtree", watched(shutil.rmtree))
    copy("b")
    assert calls == [("utime", True), ("rmtree", True)]


def is_locked(directory):
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
