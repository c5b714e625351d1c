"""A log of sampled requests, as files that are warm-up requests as they are."""

import queue
import random
import threading
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.log import Log
from serving.proto_tensors import encode_outputs
from serving.servable import MAX_WARMUP_RECORDS, Servable, Signature
from serving.tensors import Tensors

# Requests that wait to be written; more are dropped and counted.
MAX_WAITING = 1000


class RequestLog:
    """Files of sampled requests, each a TFRecord file of at most 1,000 `PredictionLog`s.

    A file gets its name, `PREFIX.MODEL.NUMBER`, when it is full or the server
    ends; until then it is `PREFIX.MODEL.NUMBER.part`.

    Args:
      prefix: Path of the files, up to the model's name.
      rate: Fraction of the requests that are written.
      log: Reports a failure to write, and requests that were dropped.
    """

    def __init__(self, prefix: str, rate: float, log: Log) -> None:
        self._prefix = prefix
        self._rate = rate
        self._log = log
        self._random = random.Random()
        self._dropped = 0
        self._waiting: queue.Queue[tuple[Any, ...] | None] = queue.Queue(MAX_WAITING)
        self._files: dict[str, _File] = {}
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def sample(self, servable: Servable, signature: Signature, inputs: Tensors) -> None:
        """Write a request with the probability of the rate; never waits."""
        if self._random.random() >= self._rate:
            return
        try:
            self._waiting.put_nowait((servable.name, servable.version, signature.name, inputs))
        except queue.Full:
            self._dropped += 1

    def close(self, timeout: float) -> None:
        """Write what waits, and give the last files their names."""
        self._waiting.put(None)
        self._thread.join(timeout)
        if self._dropped:
            self._log.warning("request_log_dropped", requests=self._dropped)

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            try:
                self._write(*entry)
            except Exception as error:
                # No failure of the log may fail requests; the next one tries again.
                self._log.error("request_log_failed", prefix=self._prefix, error=str(error))
                self._files.pop(entry[0], None)
        for file in self._files.values():
            file.finish()

    def _write(self, model: str, version: int, signature: str, inputs: Tensors) -> None:
        record = prediction_log_pb2.PredictionLog()
        request = record.predict_log.request
        request.model_spec.name = model
        request.model_spec.version.value = version
        request.model_spec.signature_name = signature
        encode_outputs(inputs, request.inputs)
        record.log_metadata.model_spec.CopyFrom(request.model_spec)
        record.log_metadata.sampling_config.sampling_rate = self._rate
        if model not in self._files:
            self._files[model] = _File(f"{self._prefix}.{model}")
        file = self._files[model]
        file.write(record.SerializeToString())
        if file.count == MAX_WARMUP_RECORDS:
            del self._files[model]
            file.finish()


class _File:
    """A file that is being written, with the first number that is free."""

    def __init__(self, prefix: str) -> None:
        number = 0
        while any(map(tf.io.gfile.exists, (f"{prefix}.{number}", f"{prefix}.{number}.part"))):
            number += 1
        self._path = f"{prefix}.{number}"
        self._writer = tf.io.TFRecordWriter(f"{self._path}.part")
        self.count = 0

    def write(self, record: bytes) -> None:
        self._writer.write(record)
        self.count += 1

    def finish(self) -> None:
        self._writer.close()
        tf.io.gfile.rename(f"{self._path}.part", self._path)
