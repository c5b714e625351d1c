"""Batches of sessions, and their encoding."""

import numpy as np
import pyarrow as pa
import pytest
from column_lists import columns, listed, logs
from hypothesis import given

from beam_preprocess.batches import (
    ArrowBatchCoder,
    batch_item_ids,
    batch_to_sessions,
    batches_in_files,
    sessions_to_batch,
)
from hln_tf.data.session_columns import SessionColumns


@given(logs())
def test_sessions_stay_the_same(rows):
    sessions = columns(rows)
    coder = ArrowBatchCoder()
    decoded = coder.decode(coder.encode(sessions_to_batch(sessions)))
    found = batch_to_sessions(decoded)
    assert listed(found) == listed(sessions)
    assert found.items.dtype == sessions.items.dtype
    assert found.times is None


def test_item_ids_and_times_are_part_of_a_batch():
    sessions = SessionColumns(
        items=np.array([1, 0, 1], np.int32),
        offsets=np.array([0, 1, 3]),
        dates=np.array([5, 6]),
        order=np.array([0, 1]),
        times=np.array([5_000_000, 6_000_000, 6_500_000]),
    )
    batch = sessions_to_batch(sessions, pa.array(["é", "b"]))
    assert batch["items"].to_pylist() == [["b"], ["é", "b"]]
    assert batch_item_ids(batch).to_pylist() == ["é", "b"]
    assert batch_to_sessions(batch).times.tolist() == [5_000_000, 6_000_000, 6_500_000]
    assert batch_to_sessions(batch).items.tolist() == [1, 0, 1]


@pytest.mark.parametrize("rows", [10, 100_000])
def test_large_batches_of_the_in_process_runner_are_in_files(tmp_path, rows):
    batch = pa.record_batch({"item": np.arange(rows)})
    with batches_in_files(str(tmp_path)):
        coder = ArrowBatchCoder.from_type_hint(pa.RecordBatch, None)
    encoded = coder.encode(batch)
    assert len(list(tmp_path.iterdir())) == (rows > 10)
    assert len(encoded) < 1000
    # Any worker on this machine can decode it, as often as it likes.
    assert ArrowBatchCoder().decode(encoded) == batch == coder.decode(encoded)
    # Beam samples the sizes of elements, for which nothing is written.
    assert coder.get_impl().estimate_size(batch) >= batch.nbytes
    outside = ArrowBatchCoder.from_type_hint(pa.RecordBatch, None)
    assert outside.decode(outside.encode(batch)) == batch
    assert len(list(tmp_path.iterdir())) == (rows > 10)
