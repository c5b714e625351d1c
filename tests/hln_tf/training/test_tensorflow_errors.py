"""TensorFlow's errors during a training: one sentence if the user can fix them."""

import pytest
import tensorflow as tf
from commands import run


def fail(monkeypatch, data, tmp_path, error):
    def train_and_evaluate(*arguments):
        raise error

    monkeypatch.setattr("hln_tf.training.run.train_and_evaluate", train_and_evaluate)
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run")
    return run("hln_tf.train", *where)


@pytest.mark.parametrize(
    "kind, message, words",
    [
        (
            tf.errors.ResourceExhaustedError,
            "{{node}} run/ckpt-1.data; No space left on device [Op:SaveV2]",
            ("run/ckpt-1.data: No space left on device", "free some space"),
        ),
        (
            tf.errors.PermissionDeniedError,
            "run/ckpt-1.data; Permission denied",
            ("run/ckpt-1.data: Permission denied", "check the permissions"),
        ),
        (
            tf.errors.FailedPreconditionError,
            "run/ckpt-1.data; Read-only file system",
            ("run/ckpt-1.data: Read-only file system", "can be written"),
        ),
        (
            tf.errors.ResourceExhaustedError,
            "OOM when allocating tensor with shape[8]",
            ("out of memory", "--batch_size"),
        ),
    ],
)
def test_full_disk_and_memory_are_one_sentence(monkeypatch, data, tmp_path, kind, message, words):
    outcome = fail(monkeypatch, data, tmp_path, kind(None, None, message))
    sentence = outcome.sentence()
    assert all(word in sentence for word in words), sentence


def test_other_errors_have_their_traceback(monkeypatch, data, tmp_path):
    error = tf.errors.InvalidArgumentError(None, None, "indices[0] = 9 is not in [0, 9)")
    with pytest.raises(tf.errors.InvalidArgumentError):
        fail(monkeypatch, data, tmp_path, error)
