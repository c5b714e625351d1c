"""Versions in a model's directory, and the detection of changes."""

import os

from serving.directory import find_versions


def test_versions_are_directories_with_numbers_for_names(tmp_path):
    for name in ("01", "1", "001", "00000123", "one", ".2.tmp", "-4", "٣", str(2**63), "9" * 200):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    found = find_versions(tmp_path)
    assert {number: each.path.name for number, each in found.items()} == {1: "1", 123: "00000123"}


def test_modification_times_change_while_a_version_is_copied(tmp_path):
    variables = tmp_path / "1" / "variables"
    variables.mkdir(parents=True)
    stamps = []
    steps = (
        lambda: None,
        (tmp_path / "1" / "saved_model.pb").touch,
        (variables / "variables.index").touch,
        lambda: os.utime(variables / "variables.index", ns=(1, 1)),
    )
    for step in steps:
        step()
        stamps.append(find_versions(tmp_path)[1].modified)
        assert find_versions(tmp_path)[1].modified == stamps[-1]
    assert len(set(stamps)) == len(steps)
