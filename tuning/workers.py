"""Several processes on one search: KerasTuner's chief and its workers.

The chief holds the oracle and serves it over gRPC; each worker asks it for
trials and trains them. The environment says which of them a process is. Beside
KerasTuner's own messages, each worker touches a file in the search's directory
while it lives, so that the chief knows when one has gone.
"""

import contextlib
import dataclasses
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.periodic import periodic

ID, HOST, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
SECONDS_BETWEEN_BEATS = 2.0
SECONDS_BETWEEN_LOOKS = 0.5


@dataclasses.dataclass(frozen=True)
class Role:
    """What this process is in a search.

    Attributes:
      name: Its name among the processes; "" where it is alone.
      address: The chief's `host:port`; "" where it is alone.
    """

    name: str = ""
    address: str = ""

    @property
    def is_chief(self) -> bool:
        """Whether this process chooses the trials for others."""
        return "chief" in self.name  # KerasTuner's rule

    @property
    def is_worker(self) -> bool:
        """Whether this process asks a chief for trials."""
        return bool(self.name) and not self.is_chief

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Role":
        """Reads KerasTuner's variables; without an address this process is alone.

        Raises:
          UsageError: Some of them are missing, or the port is no port.
        """
        given = {name: environment.get(name, "").strip() for name in (ID, HOST, PORT)}
        missing = [name for name, value in given.items() if not value]
        # KerasTuner takes a host that is set, but empty, for a chief's.
        if HOST not in environment and not given[PORT]:
            return cls()
        if missing:
            raise UsageError(
                f"{missing[0]} is not set or empty: several processes on one search need {ID} (the "
                f"chief's contains 'chief'), {HOST} and {PORT}; one process alone needs none"
            )
        if not (given[PORT].isdecimal() and 0 < int(given[PORT]) < 2**16):
            raise UsageError(f"{PORT} is {given[PORT]!r}, expected a port from 1 to 65535")
        return cls(given[ID], f"{given[HOST]}:{given[PORT]}")


@contextlib.contextmanager
def present(directory: Path, worker: str) -> Iterator[None]:
    """Shows that a worker is there: touches its file, and removes it at the end.

    The file of a worker that was killed stays.

    Raises:
      HlnError: A worker of the same name is there.
    """
    path = directory / urllib.parse.quote(worker, safe="")

    def beat() -> None:
        with contextlib.suppress(OSError):  # such as a network that is away for a moment
            os.utime(path)

    with files.process_lock(path, f"the name {worker}", f"give each worker a {ID} of its own"):
        os.utime(path)
        try:
            with periodic(beat, SECONDS_BETWEEN_BEATS):
                yield
        finally:
            path.unlink(missing_ok=True)


class Chief:
    """Watches over a search's workers.

    Args:
      oracle: The search's oracle (`tuning.oracle.SearchOracle`).
      directory: Where workers show that they are there.
      timeout: Seconds without a sign after which a worker is gone.
      clock: Seconds that pass.
    """

    def __init__(
        self,
        oracle: Any,
        directory: Path,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._oracle = oracle
        self._directory = directory
        self._timeout = timeout
        self._clock = clock
        self._beats = self._read_beats()
        self._heard: dict[str, float] = {}
        self._started = self._lonely_since = clock()

    def has_finished(self) -> bool:
        """Looks at the workers once.

        A worker that has left of its own accord, or whose trial is from an
        earlier life of the chief and that never comes back, leaves its trial to
        the others.

        Returns:
          Whether the search has ended and its workers have left.

        Raises:
          HlnError: A worker has been gone for too long, or none has ever come.
        """
        now = self._clock()
        # Before the files are looked at: a worker that comes meanwhile is no worker that left.
        busy = list(self._oracle.ongoing_trials)
        beats = self._read_beats()
        self._heard |= {name: now for name in beats if beats[name] != self._beats.get(name)}
        self._beats = beats
        for name in set(self._heard) - set(beats):
            del self._heard[name]
        silent = [name for name, heard in self._heard.items() if now - heard > self._timeout]
        if self._oracle.has_ended or self._oracle.is_complete:
            return len(silent) == len(self._heard)
        for name in busy:
            never_came = name not in self._heard and now - self._started > self._timeout
            if name not in beats or name in silent or never_came:
                self._put_back(name)
        if silent:
            raise HlnError(
                f"the worker {silent[0]} has been gone for {self._timeout:g} s: start it again, "
                f"and the chief; its trial goes on where it was"
            )
        if self._heard:
            self._lonely_since = now
        if now - self._lonely_since > self._timeout:
            raise HlnError(
                f"no worker has been there for {self._timeout:g} s: start the same command with "
                f"another {ID} in the environment, and the chief again"
            )
        return False

    def _put_back(self, name: str) -> None:
        trial = self._oracle.put_back(name)
        if trial is not None:
            print(f"trial {int(trial.trial_id)} of {name} waits for a worker", file=sys.stderr)

    def _read_beats(self) -> dict[str, int]:
        """When each worker's file was last touched, by its own clock."""
        beats = {}
        for path in self._directory.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                beats[urllib.parse.unquote(path.name)] = path.stat().st_mtime_ns
        return beats


def lead(tuner: Any, chief: Chief, address: str, check_stop: Callable[[], None]) -> None:
    """Serves a search's oracle until the search has ended.

    Args:
      tuner: The chief's tuner.
      chief: Watches over the workers.
      address: Where the oracle is served.
      check_stop: Raises an exception where the process is to stop.

    Raises:
      HlnError: The address cannot be served, or a worker has gone.
      Exception: The oracle could not answer a worker, such as an `OSError` where
        the search's state cannot be saved.
    """
    failures: list[Exception] = []

    def serve() -> None:
        try:
            tuner.search(verbose=0)
        except Exception as error:
            failures.append(error)

    # Its server would end once the workers that have asked lately are told to stop, and leave the
    # others without an answer. An id that never asks keeps it going.
    tuner.oracle.tuner_ids.add(address)
    # KerasTuner's server never looks whether its workers live, so it does not get the main thread.
    threading.Thread(target=serve, daemon=True).start()
    print(f"waiting for workers at {address}", file=sys.stderr)
    while True:
        check_stop()
        if failures:
            raise HlnError(f"{address} cannot be served ({failures[0]}): choose another {PORT}")
        if tuner.oracle.broken:
            raise tuner.oracle.broken
        if chief.has_finished():
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def follow(oracle_client: Any, address: str, timeout: float) -> None:
    """Makes a worker end with a clear message where its chief does not answer.

    KerasTuner waits for an hour, and looks for a chief that was away more and
    more seldom.

    Args:
      oracle_client: KerasTuner's client, whose connection is replaced.
      address: Where the chief is.
      timeout: Seconds to wait for an answer.
    """
    import grpc

    options = [("grpc.max_reconnect_backoff_ms", 2_000)]
    channel = grpc.insecure_channel(address, options)
    oracle_client.stub = _Stub(type(oracle_client.stub)(channel), address, timeout)


class _Stub:
    """KerasTuner's remote calls, with errors that a user can mend."""

    def __init__(self, stub: Any, address: str, timeout: float) -> None:
        self._stub = stub
        self._address = address
        self._timeout = timeout

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import grpc

        from tuning.tuner import FatalError

        method = getattr(self._stub, name)

        def call(request: Any, timeout: float, **options: Any) -> Any:
            try:
                return method(request, timeout=self._timeout, **options)
            except grpc.RpcError as error:
                raise FatalError(
                    f"the chief at {self._address} does not answer ({error.code().name.lower()}, "
                    f"waited up to {self._timeout:g} s): unless the search has ended, start it, "
                    f"then this worker again; its trial goes on where it was"
                ) from None

        return call
