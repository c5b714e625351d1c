"""Counters of a pipeline, and a progress line where its workers are threads of this process."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from hln_tf.common.periodic import periodic

NAMESPACE = "beam_preprocess"  # of the counters
_INTERVAL = 0.5  # seconds, on a terminal
_LOG_INTERVAL = 15.0  # seconds, where standard error is a file

# The stages that take time, and the share of each: measured on a million clicks, a rough guide.
_FIRST = "start"
_SHARES = {"read": 0.5, "group sessions": 0.2, "number items": 0.1, "sort": 0.1, "write": 0.1}


def count(name: str, number: int) -> None:
    """Add to a counter of the pipeline, which an engine shows in its own way."""
    Metrics.counter(NAMESPACE, name.replace(" ", "_")).inc(number)


class Counts:
    """The work that the workers of this process have done so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stage = _FIRST
        self.raw_bytes = 0
        self.clicks = 0

    def add(self, stage: str, raw_bytes: int = 0, clicks: int = 0) -> None:
        """Set the stage and count bytes of the raw files and clicks that were read."""
        with self._lock:
            self.stage = stage
            self.raw_bytes += raw_bytes
            self.clicks += clicks


class Progress:
    """The counts that steps of a pipeline share with the process that shows them.

    A step gets a copy, which finds the same counts in the same process; in a worker
    process it counts for nobody.
    """

    def __init__(self) -> None:
        self._shared = Shared()

    @property
    def counts(self) -> Counts:
        """The counts of this process."""
        return self._shared.acquire(Counts)

    @contextlib.contextmanager
    def shown(self, total: int) -> Iterator[None]:
        """Show stage, clicks, speed and an estimate of the time left while the block runs.

        Args:
          total: Bytes of the raw files.
        """
        counts = self.counts
        terminal = sys.stderr.isatty()
        started = time.monotonic()

        def show() -> None:
            share = min(1.0, counts.raw_bytes / total)
            line = describe(counts.stage, counts.clicks, share, time.monotonic() - started)
            print(
                f"\r\033[K{line}" if terminal else line,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )

        try:
            with periodic(show, _INTERVAL if terminal else _LOG_INTERVAL):
                yield
        finally:
            if terminal:
                print("\r\033[K", end="", file=sys.stderr, flush=True)


def describe(stage: str, clicks: int, share_read: float, elapsed: float) -> str:
    """Format the progress line.

    Args:
      stage: Name of the current stage.
      clicks: Clicks read so far.
      share_read: Share of the raw files' bytes that was read.
      elapsed: Seconds since the beginning.
    """
    if stage == _FIRST:
        return f"running, {elapsed:.0f} s"  # or the workers are in other processes
    names = list(_SHARES)
    before = names[: names.index(stage)] if stage in names else []
    done = sum(_SHARES[name] for name in before) or _SHARES["read"] * share_read
    line = f"{stage}: {clicks:,} clicks ({share_read:.0%} of the log), {elapsed:.0f} s"
    if share_read < 1 and clicks:
        line += f", {clicks / elapsed:,.0f} clicks/s"
    if done and (before or share_read < 1):
        line += f", about {elapsed * (1 - done) / done:.0f} s left"
    return line
