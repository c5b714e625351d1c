import json
import re

import pytest
import toy

from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.layout import Manifest, Split, read_vocabulary

SPLITS = {"train": [[1, 2, 3], [2, 1]], "validation": [[1, 3]], "test": [[3, 1]]}


@pytest.fixture
def data_dir(tmp_path):
    toy.write_dataset(tmp_path / "data", SPLITS, num_items=3, separator="|")
    return tmp_path / "data"


def refused(data_dir):
    with pytest.raises(HlnError) as caught:
        Manifest.read(data_dir)
    message = str(caught.value)
    assert message.endswith(
        f"run python -m beam_preprocess --output {data_dir} to write the data set"
    )
    return message


def change(data_dir, **changes):
    path = data_dir / "manifest.json"
    content = {**json.loads(path.read_text()), **changes}
    changed = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(changed))


def test_missing_directory(tmp_path):
    assert "there is no data set in" in refused(tmp_path / "nowhere")


def test_unfinished_directory(data_dir):
    (data_dir / "manifest.json").unlink()
    assert f"{data_dir}/manifest.json does not exist" in refused(data_dir)


@pytest.mark.parametrize("content", ["", "{", "nonsense", "\xff"])
def test_manifest_that_is_no_json(data_dir, content):
    (data_dir / "manifest.json").write_bytes(content.encode("latin-1"))
    assert f"{data_dir}/manifest.json is not valid JSON" in refused(data_dir)


@pytest.mark.parametrize("version", [0, 2, "1"])
def test_other_format_version(data_dir, version):
    change(data_dir, format_version=version)
    assert f"manifest.json has format version {version}, expected 1" in refused(data_dir)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": None},
        {"items": None},
        {"splits": None},
        {"splits": []},
        {"splits": {"train": {"files": []}}},
        {"splits": {}},
        {"unknown": 1},
    ],
)
def test_manifest_of_other_content(data_dir, changes):
    change(data_dir, **changes)
    assert f"{data_dir}/manifest.json is not a data set manifest" in refused(data_dir)


@pytest.mark.parametrize("content", ["[]", "3", '"text"', "null"])
def test_manifest_that_is_no_object(data_dir, content):
    (data_dir / "manifest.json").write_text(content)
    assert f"{data_dir}/manifest.json is not a data set manifest" in refused(data_dir)


def test_missing_vocabulary(data_dir):
    (data_dir / "vocabulary.txt").unlink()
    with pytest.raises(HlnError, match=r"vocabulary.txt does not exist: write .* again"):
        read_vocabulary(data_dir, Manifest.read(data_dir))


def test_damaged_vocabulary(data_dir):
    (data_dir / "vocabulary.txt").write_text("i1\ni2\ni4\n")
    message = f"{data_dir}/vocabulary.txt is damaged, its checksum is not the recorded one: write"
    with pytest.raises(HlnError, match=re.escape(message)):
        read_vocabulary(data_dir, Manifest.read(data_dir))


def test_manifest_is_read_back(tmp_path):
    written = toy.write_dataset(tmp_path, SPLITS, num_items=3, dataset="lastfm", separator="|")
    assert Manifest.read(tmp_path) == written
    assert Manifest.read(str(tmp_path)) == written
    assert (written.dataset, written.separator) == ("lastfm", "|")
    assert written.splits["train"] == Split(("train/00000-of-00001.tfrecord",), 2, 5, 3)


def test_fingerprint_does_not_depend_on_older_names_of_settings(data_dir):
    found = {}
    for name, value in (("gap", 1800), ("session_timeout", 1800), ("session_timeout", 60)):
        change(data_dir, settings={"top_items": 0, name: value})
        found[name, value] = Manifest.read(data_dir).fingerprint()
    assert found["gap", 1800] == found["session_timeout", 1800]
    assert found["session_timeout", 60] != found["session_timeout", 1800]
    change(data_dir, settings={"gap": 60, "session_timeout": 60})
    with pytest.raises(UsageError, match=r"manifest.json has the settings 'gap' and 'session_tim"):
        Manifest.read(data_dir).fingerprint()


def test_fingerprint_does_not_depend_on_extra_columns(data_dir):
    """So that runs of a data set go on after it was written again with an extra column."""
    found = set()
    for extra in ({}, {"extra_columns": []}, {"extra_columns": ["device"]}):
        change(data_dir, settings={"top_items": 0, **extra})
        manifest = Manifest.read(data_dir)
        assert manifest.extra_columns == tuple(extra.get("extra_columns", ()))
        found.add(manifest.fingerprint())
    assert len(found) == 1


def test_vocabulary_is_read_back(data_dir):
    assert read_vocabulary(data_dir, Manifest.read(data_dir)) == ["i1", "i2", "i3"]


def test_vocabulary_lines_end_at_line_feeds_alone(data_dir):
    item_ids = ["a\rb", "c\r", "d\u2028e", " f ", "ü\x85"]
    (data_dir / "vocabulary.txt").write_bytes("".join(f"{i}\n" for i in item_ids).encode())
    change(data_dir, vocabulary_sha256=files.sha256(data_dir / "vocabulary.txt"), items=5)
    assert read_vocabulary(data_dir, Manifest.read(data_dir)) == item_ids
