"""Running, counting and logging of requests, for REST and gRPC alike."""

import time
from typing import Any

from serving.batching import Batcher
from serving.errors import Code, ServingError
from serving.log import Log
from serving.metrics import Metrics
from serving.servable import Servable, Signature
from serving.tensors import Tensors
from serving.versions import Versions


class Predictor:
    """A model with the batcher, metrics and log that REST and gRPC share.

    Args:
      versions: The versions of the model.
      batcher: Runs signatures.
      metrics: Counts requests.
      log: Logs requests.
    """

    def __init__(self, versions: Versions, batcher: Batcher, metrics: Metrics, log: Log) -> None:
        self.versions = versions
        self.metrics = metrics
        self._batcher = batcher
        self._log = log

    async def run(
        self, servable: Servable, signature: Signature, inputs: Tensors, timeout: float | None
    ) -> Tensors:
        """Run a signature of an acquired version; see `Batcher.run`."""
        self.metrics.in_flight.value += 1
        try:
            return await self._batcher.run(servable, signature, inputs, timeout)
        finally:
            self.metrics.in_flight.value -= 1

    def record(
        self, entrypoint: str, api: str, model: str, started: float, error: ServingError | None
    ) -> None:
        """Count a request and log it.

        Args:
          entrypoint: REST or GRPC.
          api: The API method, such as Predict.
          model: The model's name in the request.
          started: `time.monotonic()` when the request was complete.
          error: The error of a request that failed.
        """
        micros = (time.monotonic() - started) * 1e6
        status = error.code.name if error else Code.OK.name
        # Arbitrary names would let clients create any number of time series.
        name = model if model == self.versions.name else ""
        self.metrics.requests.add(name, status)
        self.metrics.request_latency.add(micros, name, api, entrypoint, status)
        if self._log.has_requests:
            fields: dict[str, Any] = {"error": error.message} if error else {}
            self._log.info(
                "request",
                entrypoint=entrypoint,
                api=api,
                model=model,
                status=status,
                micros=round(micros),
                **fields,
            )
