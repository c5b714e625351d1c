"""TFRecord files of `tf.train.Example`s, written without TensorFlow.

TensorFlow takes seconds to load and half a gigabyte of memory, in each worker; here
it would only encode integers and texts, which NumPy and Arrow can do.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def write_record(file: BinaryIO, data: bytes) -> None:
    """Write one record with its length and checksums."""
    length = struct.pack("<Q", len(data))
    file.write(length + _masked_crc(length))
    file.write(data)
    file.write(_masked_crc(data))


def example(features: Mapping[str, bytes], texts: Mapping[str, bytes] | None = None) -> bytes:
    """Serialize a `tf.train.Example`.

    Args:
      features: The values of each feature of integers as `varints`.
      texts: The values of each feature of texts as `byte_strings`.
    """
    kinds = {name: _field(3, _field(1, values)) for name, values in features.items()}
    kinds |= {name: _field(1, values) for name, values in (texts or {}).items()}
    entries = [
        _field(1, _field(1, name.encode()) + _field(2, kind))
        for name, kind in sorted(kinds.items())
    ]
    return _field(1, b"".join(entries))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varints(np.array([len(content)]))[0] + content


def byte_strings(texts: pa.LargeStringArray) -> tuple[bytes, np.ndarray]:
    """Encode texts, of which a null one becomes empty, as the values of a list of bytes.

    Returns:
      As `varints`.
    """
    encoded = pc.fill_null(texts, "").dictionary_encode()
    values = [_field(1, text.encode()) for text in encoded.dictionary.to_pylist()]
    indices = encoded.indices.to_numpy()
    sizes = np.array([len(value) for value in values], np.int64)
    data = b"".join(map(values.__getitem__, indices.tolist()))
    return data, np.concatenate([[0], np.cumsum(sizes[indices])])


def varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Encode integers in the variable length of protocol buffers.

    Args:
      values: int64 or narrower [values].

    Returns:
      The bytes of all values, and the offset at which each begins and the last
      one ends, int64 [values + 1].
    """
    remaining = values.astype(np.int64).view(np.uint64)
    sizes = np.ones(len(values), np.int64)
    columns = []
    while True:
        more = remaining >= 128
        columns.append((remaining & np.uint64(127)).astype(np.uint8) | (more.view(np.uint8) << 7))
        if not more.any():
            break
        sizes += more
        remaining = remaining >> np.uint64(7)
    # The columns after a value's last byte are zeros, which are left out.
    used = np.arange(len(columns)) < sizes[:, None]
    data = np.stack(columns, axis=1)[used].tobytes()
    return data, np.concatenate([[0], np.cumsum(sizes)])


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
