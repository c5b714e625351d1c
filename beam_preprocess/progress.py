"""A progress line on standard error about the local workers."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from hln_tf.common.periodic import periodic

_INTERVAL = 0.5  # seconds, on a terminal
_LOG_INTERVAL = 15.0  # seconds, where standard error is a file

# The stages that take time, and the share of each: measured on a million clicks, a rough guide.
_SHARES = {
    "read": 0.5,
    "group sessions": 0.1,
    "filter sessions": 0.05,
    "encode sessions": 0.1,
    "sorting": 0.15,
    "writing": 0.1,
}

_lock = threading.Lock()
_stage = ""
_bytes_read = 0
_clicks_read = 0


def enter(stage: str) -> None:
    """Set the current stage."""
    global _stage
    _stage = stage


def advance(count: int) -> None:
    """Count `count` more bytes of the raw files as read."""
    global _bytes_read
    with _lock:
        _bytes_read += count


def count_clicks(count: int) -> None:
    """Count `count` more clicks as read."""
    global _clicks_read
    with _lock:
        _clicks_read += count


def describe(stage: str, clicks: int, share_read: float, elapsed: float) -> str:
    """Format the progress line.

    Args:
      stage: Name of the current stage.
      clicks: Clicks read so far.
      share_read: Share of the raw files' bytes that was read.
      elapsed: Seconds since the beginning.
    """
    names = list(_SHARES)
    before = names[: names.index(stage)] if stage in names else []
    done = sum(_SHARES[name] for name in before) or _SHARES["read"] * share_read
    line = f"{stage}: {clicks:,} clicks ({share_read:.0%} of the log), {elapsed:.0f} s"
    if share_read < 1 and clicks:
        line += f", {clicks / elapsed:,.0f} clicks/s"
    if done and (before or share_read < 1):
        line += f", about {elapsed * (1 - done) / done:.0f} s left"
    return line


@contextlib.contextmanager
def shown(total: int) -> Iterator[None]:
    """Show stage, clicks, speed and an estimate of the time left while the block runs.

    Args:
      total: Bytes of the raw files.
    """
    global _stage, _bytes_read, _clicks_read
    _stage, _bytes_read, _clicks_read = "starting", 0, 0
    stream = sys.stderr  # captured now: the caller redirects Beam's output afterwards
    terminal = stream.isatty()
    started = time.monotonic()

    def show() -> None:
        share = min(1.0, _bytes_read / total)
        elapsed = time.monotonic() - started
        line = describe(_stage, _clicks_read, share, elapsed)
        print(
            f"\r\033[K{line}" if terminal else line,
            end="" if terminal else "\n",
            file=stream,
            flush=True,
        )

    try:
        with periodic(show, _INTERVAL if terminal else _LOG_INTERVAL):
            yield
    finally:
        if terminal:
            print("\r\033[K", end="", file=stream, flush=True)
