"""TFRecord files of `tf.train.Example`s, written without TensorFlow.

TensorFlow takes seconds to load and half a gigabyte of memory, in each worker;
what it would write here are numbers in a few bytes each, which NumPy can do.
"""

import functools
import itertools
import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
_CHUNK = 2048  # bytes of which the checksum is looked up at once


def write_record(file: BinaryIO, data: bytes) -> None:
    """Writes one record with its length and checksums."""
    length = struct.pack("<Q", len(data))
    file.write(length + _masked_crc(length))
    file.write(data)
    file.write(_masked_crc(data))


def example(features: Mapping[str, bytes]) -> bytes:
    """A serialized `tf.train.Example`.

    Args:
      features: The values of each feature as `varints`.
    """
    entries = []
    for name, values in sorted(features.items()):
        int64_list = _field(1, values)
        entries.append(_field(1, _field(1, name.encode()) + _field(2, _field(3, int64_list))))
    return _field(1, b"".join(entries))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varints(np.array([len(content)]))[0] + content


def varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Integers in the variable length that protocol buffers give them.

    Args:
      values: int64 or narrower [values].

    Returns:
      The bytes of all values, and where in them each begins and the last one
      ends, int64 [values + 1].
    """
    left = values.astype(np.int64).view(np.uint64)
    sizes = np.ones(len(values), np.int64)
    columns = []
    while True:
        more = left >= 128
        columns.append((left & np.uint64(127)).astype(np.uint8) | (more.view(np.uint8) << 7))
        if not more.any():
            break
        sizes += more
        left = left >> np.uint64(7)
    # A value that is done goes on as zeros, which are left out.
    used = np.arange(len(columns)) < sizes[:, None]
    data = np.stack(columns, axis=1)[used].tobytes()
    return data, np.concatenate([[0], np.cumsum(sizes)])


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`, of 4 bytes or more."""
    table = _table().ravel()
    state = 0xFFFFFFFF
    chunks = -(-len(data) // _CHUNK)
    bounds = [len(data) * chunk // chunks for chunk in range(chunks + 1)]
    # The state so far acts on what follows like bits flipped in the next 4 bytes.
    for start, end in itertools.pairwise(bounds):
        chunk = np.frombuffer(data, np.uint8, end - start, start).astype(np.int64)
        chunk[:4] ^= np.frombuffer(struct.pack("<I", state), np.uint8)
        state = int(np.bitwise_xor.reduce(table[chunk + _rows(end - start)]))
    return state ^ 0xFFFFFFFF


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def _table() -> np.ndarray:
    """What each byte, at each distance from the end, adds to the checksum, uint32 [_CHUNK, 256]."""
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        state = np.where(state & 1, (state >> 1) ^ np.uint32(_POLYNOMIAL), state >> 1)
    rows = [state]
    for _ in range(_CHUNK - 1):
        rows.append((rows[-1] >> 8) ^ rows[0][rows[-1] & 255])
    return np.stack(rows)


@functools.lru_cache(maxsize=64)
def _rows(length: int) -> np.ndarray:
    """Where the table's rows for `length` bytes begin, int64 [length]."""
    return np.arange(length - 1, -1, -1) * 256
