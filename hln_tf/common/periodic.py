"""Periodic calls in a background thread."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def periodic(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function periodically in a background thread while the block runs.

    Args:
      work: The function; the thread ends with its first exception.
      seconds: Interval before each call, also before the first.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
