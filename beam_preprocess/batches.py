"""Elements of the pipeline: batches of clicks or sessions in columns, encoded by Arrow.

Clicks are record batches with a row for each click. Sessions are record batches with a row
for each session, whose items are a list; within a step they are `SessionColumns`.
"""

import numpy as np
import pyarrow as pa
from apache_beam.coders import Coder, registry

from hln_tf.data.session_columns import SessionColumns


class ArrowBatchCoder(Coder):
    """Encodes a record batch as a stream of Arrow's IPC format, which is decoded without a copy.

    Example:
      >>> coder = ArrowBatchCoder()
      >>> batch = pa.record_batch({"item": ["a", "b"]})
      >>> coder.decode(coder.encode(batch)) == batch
      True
    """

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Encode a batch."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as stream:
            stream.write_batch(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Decode a batch."""
        return pa.ipc.open_stream(encoded).read_next_batch()

    def is_deterministic(self) -> bool:
        """Return that equal batches have equal encodings."""
        return True

    def to_type_hint(self) -> type:
        """Return the type that the coder is for."""
        return pa.RecordBatch


registry.register_coder(pa.RecordBatch, ArrowBatchCoder)


def sessions_to_batch(
    sessions: SessionColumns, item_ids: pa.StringArray | None = None
) -> pa.RecordBatch:
    """Convert sessions to a batch with a row for each session.

    Args:
      sessions: The sessions.
      item_ids: The ids that their items are indices into, to be part of the batch.

    Returns:
      The columns `items`, `date`, `order` and, where sessions have them, `times`.
    """
    items = pa.array(sessions.items)
    if item_ids is not None:
        items = pa.DictionaryArray.from_arrays(items, item_ids)
    offsets = pa.array(sessions.offsets.astype(np.int64, copy=False))
    columns = {
        "items": pa.LargeListArray.from_arrays(offsets, items),
        "date": pa.array(sessions.dates),
        "order": pa.array(sessions.order),
    }
    if sessions.times is not None:
        columns["times"] = pa.LargeListArray.from_arrays(offsets, pa.array(sessions.times))
    return pa.record_batch(columns)


def batch_to_sessions(batch: pa.RecordBatch) -> SessionColumns:
    """Convert a batch back to sessions, whose items are indices."""
    items = batch["items"].values
    if pa.types.is_dictionary(items.type):
        items = items.indices
    has_times = "times" in batch.schema.names
    return SessionColumns(
        items=items.to_numpy(),
        offsets=batch["items"].offsets.to_numpy(),
        dates=batch["date"].to_numpy(),
        order=batch["order"].to_numpy(),
        times=batch["times"].values.to_numpy() if has_times else None,
    )


def batch_item_ids(batch: pa.RecordBatch) -> pa.StringArray:
    """Return the item ids that are part of a batch of sessions."""
    return batch["items"].values.dictionary
