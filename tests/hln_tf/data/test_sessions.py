import dataclasses
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import toy
from session_lists import to_sessions

from hln_tf.common.errors import HlnError
from hln_tf.data.layout import Manifest
from hln_tf.data.sessions import read_split

SPLITS = {
    "train": [[1, 2, 3], [4, 5], [2, 2], [5, 1, 4, 3], [3, 4]],
    "validation": [[1, 5]],
    "test": [],
}
REMEDY = "again with python -m beam_preprocess"


@pytest.fixture
def data_dir(tmp_path):
    toy.write_dataset(tmp_path, SPLITS, num_items=5, shards=2)
    return tmp_path


@pytest.fixture
def shard(data_dir):
    return data_dir / Manifest.read(data_dir).splits["train"].files[1]


def lists(sessions):
    return [
        sessions.items[start:end].tolist()
        for start, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)
    ]


def refused(data_dir, split="train"):
    """The message with which a split is refused."""
    with pytest.raises(HlnError) as caught:
        read_split(data_dir, split)
    return str(caught.value)


def test_missing_shard_is_named(data_dir, shard):
    shard.unlink()
    assert re.search(f"{shard} does not exist: .*{REMEDY}", refused(data_dir))


# In each of the file's records: length, checksum of the length, data, checksum of the data.
@pytest.mark.parametrize("position", [0, 3, 7, 9, 12, 30, 50, -30, -20, -4, -1])
def test_corrupt_byte_is_found(data_dir, shard, position):
    content = bytearray(shard.read_bytes())
    content[position] ^= 0x10
    shard.write_bytes(content)
    assert re.search(f"{shard} is corrupt or truncated .*: .*{REMEDY}", refused(data_dir))


def test_truncated_shard_is_found_wherever_it_ends(data_dir, shard):
    content = shard.read_bytes()
    for length in range(0, len(content), 17):
        shard.write_bytes(content[:length])
        message = refused(data_dir)
        assert str(shard if length else data_dir / "train") in message
        assert REMEDY in message


def test_record_that_is_no_example_is_found(data_dir, shard):
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(b"no example at all")
    assert re.search(f"{shard} is corrupt or truncated", refused(data_dir))


def test_whole_record_too_few_is_found(data_dir, shard):
    other = data_dir / Manifest.read(data_dir).splits["train"].files[0]
    shutil.copyfile(other, shard)
    assert re.search(
        f"{data_dir}/train contains 6 sessions and 14 clicks .* says 5 and 13: .*{REMEDY}",
        refused(data_dir),
    )


@pytest.mark.parametrize("count", ["sessions", "clicks"])
def test_count_that_differs_from_the_manifest_is_found(data_dir, count):
    manifest = Manifest.read(data_dir)
    split = manifest.splits["validation"]
    wrong = dataclasses.replace(split, **{count: getattr(split, count) + 1})
    splits = {**manifest.splits, "validation": wrong}
    dataclasses.replace(manifest, splits=splits).write(data_dir)
    assert re.search(
        f"{data_dir}/validation contains 1 sessions and 2 clicks", refused(data_dir, "validation")
    )


@pytest.mark.parametrize("item", [0, -1, 6])
def test_item_outside_the_catalogue_is_found(tmp_path, item):
    toy.write_dataset(tmp_path, {"test": [[1, item]]}, num_items=5)
    message = f"{tmp_path}/test contains item indices outside 1 to 5: write the data set {REMEDY}"
    assert refused(tmp_path, "test") == message


@pytest.mark.parametrize(("shards", "sessions_per_record"), [(1, 1), (1, 1024), (3, 1), (2, 2)])
def test_splits_are_read_back(tmp_path, shards, sessions_per_record):
    toy.write_dataset(tmp_path, SPLITS, 5, shards=shards, sessions_per_record=sessions_per_record)
    for split, expected in SPLITS.items():
        sessions = read_split(tmp_path, split)
        assert lists(sessions) == expected
        assert (sessions.items.dtype, sessions.offsets.dtype) == (np.int32, np.int64)
    np.testing.assert_array_equal(read_split(tmp_path, "train").dates, np.arange(5))
    np.testing.assert_array_equal(read_split(tmp_path, "validation").dates, [5])


def test_sum_appends_later_sessions():
    earlier, later = to_sessions([[3, 1], [2, 2]]), to_sessions([[5, 6, 7]])
    both = earlier + later
    assert lists(both) == [[3, 1], [2, 2], [5, 6, 7]]
    np.testing.assert_array_equal(both.dates, [0, 1, 0])
    assert lists(earlier + to_sessions([])) == lists(earlier)
    assert lists(to_sessions([]) + earlier) == lists(earlier)
