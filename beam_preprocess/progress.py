"""A line on standard error that says what the local workers are doing."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_INTERVAL = 0.5  # seconds, on a terminal
_LOG_INTERVAL = 15.0  # seconds, where standard error is a file

_lock = threading.Lock()
_stage = ""
_bytes_read = 0


def enter(stage: str) -> None:
    """Says which stage is at work."""
    global _stage
    _stage = stage


def advance(count: int) -> None:
    """Says that `count` more bytes of the raw files were read."""
    global _bytes_read
    with _lock:
        _bytes_read += count


@contextlib.contextmanager
def shown(total: int) -> Iterator[None]:
    """Shows stage, bytes read of `total` and elapsed time while the block runs."""
    global _stage, _bytes_read
    _stage, _bytes_read = "starting", 0
    finished = threading.Event()
    stream = sys.stderr  # as it is now: Beam's own output goes elsewhere meanwhile
    terminal = stream.isatty()
    started = time.monotonic()

    def show() -> None:
        while not finished.wait(_INTERVAL if terminal else _LOG_INTERVAL):
            share = min(1.0, _bytes_read / total)
            elapsed = time.monotonic() - started
            line = f"{_stage} ({share:.0%} of {total / 2**20:.0f} MB read, {elapsed:.0f} s)"
            print(
                f"\r\033[K{line}" if terminal else line,
                end="" if terminal else "\n",
                file=stream,
                flush=True,
            )
        if terminal:
            print("\r\033[K", end="", file=stream, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
