"""Records compared with those that TensorFlow writes."""

import numpy as np
import pyarrow as pa

from beam_preprocess.tfrecord import byte_strings, example, varints, write_record

EXTREMES = [0, 1, 127, 128, 16_383, 16_384, 2**31 - 1, 2**63 - 1, -1, -(2**63)]


def test_records_are_those_of_tensorflow(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    written = []
    with (
        open(tmp_path / "ours", "wb") as file,
        tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer,
    ):
        for size in (1, 2, 3, 700, 2047, 2048, 2049, 70_000):
            columns = {
                "lengths": rng.integers(0, 300, size),
                "items": rng.integers(0, 2**31, size).astype(np.int32),
                "dates": np.array((EXTREMES * size)[:size]),
            }
            names = pa.array([["", "é", "x" * 200][n % 3] for n in range(size)], pa.large_string())
            ours = example(
                {name: varints(values)[0] for name, values in columns.items()},
                {"log_name": byte_strings(names)[0]},
            )
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))
                for name, values in columns.items()
            }
            texts = tf.train.BytesList(value=[name.encode() for name in names.to_pylist()])
            features["log_name"] = tf.train.Feature(bytes_list=texts)
            theirs = tf.train.Example(features=tf.train.Features(feature=features))
            assert ours == theirs.SerializeToString(deterministic=True)
            write_record(file, ours)
            writer.write(ours)
            written.append(ours)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    read = tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()
    assert list(read) == written


def test_varints_can_be_cut():
    text, bounds = varints(np.array(EXTREMES))
    for start in range(len(EXTREMES)):
        assert text[bounds[start] : bounds[-1]] == varints(np.array(EXTREMES[start:]))[0]
    assert varints(np.zeros(0, np.int64))[0] == b""


def test_texts_can_be_cut_and_a_missing_one_is_empty():
    texts = pa.array(["a", None, "bcd", "", "a"], pa.large_string())
    data, bounds = byte_strings(texts)
    assert data == b"\n\x01a\n\x00\n\x03bcd\n\x00\n\x01a"
    for start in range(len(texts)):
        assert data[bounds[start] : bounds[-1]] == byte_strings(texts[start:])[0]
