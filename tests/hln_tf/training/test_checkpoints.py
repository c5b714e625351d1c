import pytest
import tensorflow as tf
from commands import only_checkpoint

from hln_tf.common.errors import HlnError
from hln_tf.training.checkpoints import NewestCheckpoint

# What a kill leaves while TensorFlow writes a shard, merges shards, names the newest checkpoint and
# removes the older one.
LEFTOVERS = [
    "ckpt-4_temp/part-00000-of-00001.data-00000-of-00001",
    "ckpt-4.data-00000-of-00001.tempstate123",
    "ckpt-4.index.tempstate123",
    "ckpt-3.data-00000-of-00001.tempstate123",
    "ckpt-2.data-00000-of-00001",
    "checkpoint.tmp0123abc",
]


def newest(directory, value):
    variable = tf.Variable(value)
    return NewestCheckpoint(directory, "remove it", value=variable), variable


def test_first_save_removes_what_a_killed_process_left(tmp_path):
    checkpoint, _ = newest(tmp_path, 1.0)
    for _ in range(3):
        checkpoint.save()
    for name in LEFTOVERS:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    resumed, variable = newest(tmp_path, 0.0)
    assert resumed.restore(is_whole=True)
    assert variable.numpy() == 1.0
    variable.assign(2.0)
    resumed.save()
    (tmp_path / "notes.txt").unlink()
    assert only_checkpoint(tmp_path).name == "ckpt-4"
    again, variable = newest(tmp_path, 0.0)
    assert again.restore(is_whole=True)
    assert variable.numpy() == 2.0


def test_damaged_checkpoint_is_an_error_with_its_remedy(tmp_path):
    checkpoint, _ = newest(tmp_path, 1.0)
    checkpoint.save()
    (tmp_path / "ckpt-1.index").write_bytes(b"half")
    with pytest.raises(HlnError, match=r"ckpt-1 is damaged .*: remove it"):
        newest(tmp_path, 0.0)[0].restore()
