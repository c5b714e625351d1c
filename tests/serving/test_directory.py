"""Versions in a model's directory, and the detection of changes."""

import os

import pytest

from serving.directory import find_versions


def test_versions_are_directories_with_numbers_for_names(tmp_path):
    for name in ("01", "1", "001", "00000123", "one", ".2.tmp", "-4", "٣", str(2**63), "9" * 200):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    found = find_versions(str(tmp_path))
    assert {number: each.path.rpartition("/")[2] for number, each in found.items()} == {
        1: "1",
        123: "00000123",
    }


def test_fingerprints_change_while_a_version_is_copied(tmp_path):
    variables = tmp_path / "1" / "variables"
    variables.mkdir(parents=True)
    ids = tmp_path / "1" / "assets" / "vocabulary.txt"
    stamps = []
    steps = (
        lambda: None,
        (tmp_path / "1" / "saved_model.pb").touch,
        (variables / "variables.index").touch,
        lambda: os.utime(variables / "variables.index", ns=(1, 1)),
        lambda: (variables / "variables.index").chmod(0o600),
        ids.parent.mkdir,
        ids.touch,
        lambda: ids.write_text("a\nb\n"),
    )
    for step in steps:
        step()
        stamps.append(find_versions(str(tmp_path))[1].fingerprint)
        assert find_versions(str(tmp_path))[1].fingerprint == stamps[-1]
    assert len(set(stamps)) == len(steps)


def test_a_remote_directory_is_read_by_tensorflow(tmp_path):
    """`file://` has a file system of TensorFlow's, as `gs://` has."""
    (tmp_path / "2" / "variables").mkdir(parents=True)
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"x")
    local, remote = (find_versions(f"{scheme}{tmp_path}") for scheme in ("", "file://"))
    assert local.keys() == remote.keys() == {2}
    assert remote[2].path == f"file://{tmp_path}/2"
    with pytest.raises(FileNotFoundError):
        find_versions(f"file://{tmp_path}/none")
