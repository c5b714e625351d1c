"""Running, counting and logging of requests, for all protocols alike."""

import time
from typing import Any

from serving.batching import Batcher
from serving.errors import Code
from serving.gateway import Call
from serving.log import Log
from serving.metrics import Metrics
from serving.models import Models
from serving.request_log import RequestLog
from serving.servable import Servable, Signature
from serving.tensors import Tensors


class Predictor:
    """The models with the batcher, metrics and logs that all protocols share.

    Args:
      models: The models.
      batcher: Runs signatures.
      metrics: Counts requests.
      log: Logs requests.
      request_log: Writes sampled requests; None for none.

    Attributes:
      is_draining: Whether the server is about to end.
    """

    def __init__(
        self,
        models: Models,
        batcher: Batcher,
        metrics: Metrics,
        log: Log,
        request_log: RequestLog | None = None,
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.is_draining = False
        self._batcher = batcher
        self._log = log
        self._request_log = request_log

    @property
    def is_ready(self) -> bool:
        """True until the end begins; every model has a version that serves from the start."""
        return not self.is_draining

    async def run(
        self, servable: Servable, signature: Signature, inputs: Tensors, timeout: float | None
    ) -> Tensors:
        """Run a signature of an acquired version; see `Batcher.run`."""
        if self._request_log:
            self._request_log.sample(servable, signature, inputs)
        self.metrics.in_flight.value += 1
        try:
            return await self._batcher.run(servable, signature, inputs, timeout)
        finally:
            self.metrics.in_flight.value -= 1

    def record(self, entrypoint: str, call: Call) -> None:
        """Count a request and log it.

        Args:
          entrypoint: REST or GRPC.
          call: The request.
        """
        micros = (time.monotonic() - call.started) * 1e6
        error = call.error
        status = error.code.name if error else Code.OK.name
        # Arbitrary names would let clients create any number of time series.
        name = call.model if call.model in self.models.names else ""
        api = call.api or "Other"
        self.metrics.requests.add(name, status)
        self.metrics.request_latency.add(micros, name, api, entrypoint, status)
        if self._log.has_requests:
            fields: dict[str, Any] = {"error": error.message} if error else {}
            self._log.info(
                "request",
                entrypoint=entrypoint,
                api=api,
                model=call.model,
                peer=call.peer,
                status=status,
                micros=round(micros),
                **fields,
            )
