"""Elements of the pipeline: batches of clicks or sessions in columns, encoded by Arrow.

Clicks are record batches with a row for each click. Sessions are record batches with a row
for each session, whose items are a list; within a step they are `SessionColumns`.
"""

import contextlib
import contextvars
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.coders import Coder, registry

from hln_tf.data.layout import EXTRA_PREFIX
from hln_tf.data.session_columns import SessionColumns

_SMALL = 1 << 14  # bytes of a batch that is never put into a file
_directory: contextvars.ContextVar[str | None] = contextvars.ContextVar("directory", default=None)


@contextlib.contextmanager
def batches_in_files(directory: str | None) -> Iterator[None]:
    """Let the pipelines that run in this block exchange large batches in files.

    For the in-process runner, which otherwise has several copies of all of them in memory.

    Args:
      directory: Where the files are written, on this machine; None: nowhere.
    """
    token = _directory.set(directory)
    try:
        yield
    finally:
        _directory.reset(token)


class ArrowBatchCoder(Coder):
    """Encodes a record batch as a stream of Arrow's IPC format, which is decoded without a copy.

    Args:
      directory: Where large batches are written as files that are mapped into
        memory, instead of being part of the encoding.

    Example:
      >>> coder = ArrowBatchCoder()
      >>> batch = pa.record_batch({"item": ["a", "b"]})
      >>> coder.decode(coder.encode(batch)) == batch
      True
    """

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory

    @classmethod
    def from_type_hint(cls, typehint: Any, registry: Any) -> Any:
        """Create the coder of a pipeline that is being made; see `batches_in_files`."""
        return cls(_directory.get())

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Encode a batch, or write it to a file and encode the file's path."""
        if self.directory and value.nbytes > _SMALL:
            path = f"{self.directory}/{uuid.uuid4().hex}"
            with pa.OSFile(path, "wb") as file:
                _write(value, file)
            return path.encode()
        sink = pa.BufferOutputStream()
        _write(value, sink)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Decode a batch."""
        # A stream begins with 0xffffffff, a path with a slash.
        source = pa.memory_map(encoded.decode()) if encoded[:1] == b"/" else encoded
        return pa.ipc.open_stream(source).read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Return about how long an encoding is, without encoding; Beam asks now and then."""
        return value.nbytes

    def is_deterministic(self) -> bool:
        """Return that equal batches do not always have equal encodings."""
        return False

    def to_type_hint(self) -> type:
        """Return the type that the coder is for."""
        return pa.RecordBatch


def _write(batch: pa.RecordBatch, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


registry.register_coder(pa.RecordBatch, ArrowBatchCoder)


def sessions_to_batch(
    sessions: SessionColumns, item_ids: pa.StringArray | None = None
) -> pa.RecordBatch:
    """Convert sessions to a batch with a row for each session.

    Args:
      sessions: The sessions.
      item_ids: The ids that their items are indices into, to be part of the batch.

    Returns:
      The columns `items`, `date`, `order` and, where sessions have them, `times` and
      the extra ones.
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
    if sessions.extra is not None:
        for name, texts in zip(sessions.extra.column_names, sessions.extra.columns, strict=True):
            columns[name] = pa.LargeListArray.from_arrays(offsets, texts.combine_chunks())
    return pa.record_batch(columns)


def batch_to_sessions(batch: pa.RecordBatch) -> SessionColumns:
    """Convert a batch back to sessions, whose items are indices."""
    items = batch["items"].values
    if pa.types.is_dictionary(items.type):
        items = items.indices
    has_times = "times" in batch.schema.names
    extra = [name for name in batch.schema.names if name.startswith(EXTRA_PREFIX)]
    return SessionColumns(
        items=items.to_numpy(),
        offsets=batch["items"].offsets.to_numpy(),
        dates=batch["date"].to_numpy(),
        order=batch["order"].to_numpy(),
        times=batch["times"].values.to_numpy() if has_times else None,
        extra=pa.table({name: batch[name].values for name in extra}) if extra else None,
    )


def batch_item_ids(batch: pa.RecordBatch) -> pa.StringArray:
    """Return the item ids that are part of a batch of sessions."""
    return batch["items"].values.dictionary
