"""Distributed search: KerasTuner's chief, and what it knows of its workers.

The chief serves the oracle over gRPC; each worker requests trials from it and
trains them. The environment gives the role of a process. In addition to
KerasTuner's messages, each worker touches a heartbeat file in the search's
directory periodically, so that the chief detects the loss of a worker.
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
HEARTBEAT_SECONDS = 2.0
POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Role:
    """Role of this process in a search.

    Attributes:
      name: Its name among the processes; "" for a search by one process.
      address: The chief's `host:port`; "" for a search by one process.
    """

    name: str = ""
    address: str = ""

    @property
    def is_chief(self) -> bool:
        """True if this process serves the oracle."""
        return "chief" in self.name  # KerasTuner's rule

    @property
    def is_worker(self) -> bool:
        """True if this process requests trials from a chief."""
        return bool(self.name) and not self.is_chief

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Role":
        """Read KerasTuner's variables; without an address the search is by one process.

        Raises:
          UsageError: Some of them are missing, or the port is invalid.
        """
        given = {name: environment.get(name, "").strip() for name in (ID, HOST, PORT)}
        missing = [name for name, value in given.items() if not value]
        # KerasTuner treats a host that is set, but empty, as the address of a chief.
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
def heartbeat(directory: Path, worker: str) -> Iterator[None]:
    """Touch a worker's heartbeat file periodically, and remove it at the end.

    The file of a worker that was killed remains.

    Raises:
      HlnError: Another worker has the same name.
    """
    path = directory / urllib.parse.quote(worker, safe="")

    def beat() -> None:
        with contextlib.suppress(OSError):  # such as a short outage of a network file system
            os.utime(path)

    with files.process_lock(path, f"the name {worker}", f"give each worker a {ID} of its own"):
        os.utime(path)
        try:
            with periodic(beat, HEARTBEAT_SECONDS):
                yield
        finally:
            path.unlink(missing_ok=True)


class WorkerMonitor:
    """Monitor of the workers' heartbeats, which runs in the chief.

    Args:
      oracle: The search's oracle (`tuning.oracle.SearchOracle`).
      directory: Directory of the heartbeat files.
      timeout: Seconds without a heartbeat after which a worker is lost.
      clock: Monotonic clock in seconds.
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
        self._heartbeats = self._read_heartbeats()
        self._last_seen: dict[str, float] = {}
        self._started = self._last_with_workers = clock()

    def check(self) -> bool:
        """Check the workers once and requeue the trials of those that have left.

        A trial that was assigned before the chief restarted is also requeued if
        its worker does not return within the timeout.

        Returns:
          True if the search has ended and its workers have left.

        Raises:
          HlnError: A worker is lost, or no worker has connected.
        """
        now = self._clock()
        # Read before the files: a worker that starts in between has not left.
        busy = list(self._oracle.ongoing_trials)
        heartbeats = self._read_heartbeats()
        for name, modified in heartbeats.items():
            if modified != self._heartbeats.get(name):
                self._last_seen[name] = now
        self._heartbeats = heartbeats
        for name in set(self._last_seen) - set(heartbeats):
            del self._last_seen[name]
        lost = [name for name, seen in self._last_seen.items() if now - seen > self._timeout]
        if self._oracle.has_stopped or self._oracle.is_complete:
            return len(lost) == len(self._last_seen)
        for name in busy:
            never_seen = name not in self._last_seen and now - self._started > self._timeout
            if name not in heartbeats or name in lost or never_seen:
                self._requeue(name)
        if lost:
            raise HlnError(
                f"no heartbeat of the worker {lost[0]} for {self._timeout:g} s: restart it and the "
                f"chief; its trial resumes from its checkpoint"
            )
        if self._last_seen:
            self._last_with_workers = now
        if now - self._last_with_workers > self._timeout:
            raise HlnError(
                f"no heartbeat of any worker for {self._timeout:g} s: start the same command with "
                f"another {ID} in the environment, and restart the chief"
            )
        return False

    def _requeue(self, name: str) -> None:
        trial = self._oracle.requeue(name)
        if trial is not None:
            print(f"trial {int(trial.trial_id)} of {name} is requeued", file=sys.stderr)

    def _read_heartbeats(self) -> dict[str, int]:
        """Return the time of each worker's last heartbeat, by the worker's own clock."""
        heartbeats = {}
        for path in self._directory.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                heartbeats[urllib.parse.unquote(path.name)] = path.stat().st_mtime_ns
        return heartbeats


def serve_oracle(
    tuner: Any, monitor: WorkerMonitor, address: str, check_stop: Callable[[], None]
) -> None:
    """Serve a search's oracle until the search has ended.

    Args:
      tuner: The chief's tuner.
      monitor: Monitors the workers.
      address: Address at which the oracle is served.
      check_stop: Raises an exception if the process is to stop.

    Raises:
      HlnError: The address cannot be served, or a worker is lost.
      Exception: The oracle could not answer a worker, such as an `OSError` if
        the search's state cannot be saved.
    """
    failures: list[Exception] = []

    def serve() -> None:
        try:
            tuner.search(verbose=0)
        except Exception as error:
            failures.append(error)

    # KerasTuner's server ends as soon as every worker with a recent request has received the
    # status STOPPED; it no longer answers the others. An id without requests prevents that.
    tuner.oracle.tuner_ids.add(address)
    # The server does not detect lost workers, so the main thread is left to the monitor.
    threading.Thread(target=serve, daemon=True).start()
    print(f"waiting for workers at {address}", file=sys.stderr)
    while True:
        check_stop()
        if failures:
            raise HlnError(f"{address} cannot be served ({failures[0]}): choose another {PORT}")
        if tuner.oracle.error:
            raise tuner.oracle.error
        if monitor.check():
            return
        time.sleep(POLL_SECONDS)
