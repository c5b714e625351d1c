"""Preprocessing that counts what its steps exchange: `python -m benchmarks.scaling.exchange`."""

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from beam_preprocess.__main__ import main as preprocess
from beam_preprocess.batches import ArrowBatchCoder
from hln_tf.common import cli
from hln_tf.common.errors import HlnError


class Exchange:
    """Counts the bytes of the batches that steps hand over, in this process.

    Attributes:
      bytes: Their bytes in Arrow's memory.
      batches: Their number.
    """

    def __init__(self) -> None:
        self.bytes = self.batches = 0
        self._lock = threading.Lock()

    def count(self, batch: pa.RecordBatch) -> None:
        """Count a batch."""
        with self._lock:
            self.bytes += batch.nbytes
            self.batches += 1


def main(arguments: Sequence[str]) -> None:
    """Preprocess with the flags after the first argument, the JSON file for the counts.

    Raises:
      HlnError: The workers are other processes, whose batches are not counted.
    """
    exchange, encode = Exchange(), ArrowBatchCoder.encode

    def counting(self: ArrowBatchCoder, value: pa.RecordBatch) -> bytes:
        exchange.count(value)
        return encode(self, value)

    ArrowBatchCoder.encode = counting  # type: ignore[method-assign]
    preprocess(arguments[1:])
    if not exchange.batches:
        raise HlnError(
            "no batch was handed over in this process, so none was counted: let the workers be "
            "this process, such as by --environment_type LOOPBACK"
        )
    counts = {"bytes": exchange.bytes, "batches": exchange.batches}
    Path(arguments[0]).write_text(json.dumps(counts), "utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
