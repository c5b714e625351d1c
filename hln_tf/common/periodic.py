"""Something small that is done again and again beside other work."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def periodic(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls a function in a thread while the block runs, the first time after a pause.

    Args:
      work: The function; the thread ends with its first exception.
      seconds: Pause before each call.
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
