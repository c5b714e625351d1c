"""The chief of a distributed search, as a worker sees it."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from hln_tf.common.errors import HlnError

POLL_SECONDS = 1.0
# Apart from KerasTuner's channel, whose attempts would else become rare while the chief is away.
_OPTIONS = [("grpc.max_reconnect_backoff_ms", 1000), ("grpc.use_local_subchannel_pool", 1)]


class LostReportError(Exception):
    """The chief died before it received the result of a trial, which its worker repeats."""


class Chief:
    """The chief of a worker, for which it waits before each request.

    KerasTuner's client waits an hour for an answer, and gRPC up to two minutes between
    its attempts to connect. A request that is sent once the chief accepts connections is
    answered at once.

    Args:
      address: Its address.
      timeout: Seconds to wait for it.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, _OPTIONS)

    def is_reachable(self, seconds: float = POLL_SECONDS) -> bool:
        """Check whether a server of gRPC accepts connections, within some seconds."""
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(seconds)
        except grpc.FutureTimeoutError:
            ready.cancel()
            return False
        return True

    def wait(self, check_stop: Callable[[], None]) -> None:
        """Wait until it accepts connections.

        Args:
          check_stop: Raises an exception if the process is to stop.

        Raises:
          HlnError: It does not within the timeout.
        """
        deadline = time.monotonic() + self._timeout
        while not self.is_reachable():
            check_stop()
            if time.monotonic() > deadline:
                raise HlnError(
                    f"the chief at {self.address} does not answer within {self._timeout:g} s: "
                    f"unless the search has ended, start the chief, then this worker again; its "
                    f"trial resumes from its checkpoint"
                )


def run_until_ended(tuner: Any) -> None:
    """Run a worker's trials until no trial is left, also if the chief is restarted meanwhile.

    Args:
      tuner: The worker's tuner, `tuning.tuner.TrialTuner`.

    Raises:
      HlnError: The chief does not answer, or with an error.
    """
    while True:
        try:
            tuner.search()
            return
        except LostReportError:
            continue
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise HlnError(
                    f"the chief has failed ({error.code().name.lower()}): see its message, start "
                    f"it, then this worker again; its trial resumes from its checkpoint"
                ) from None
