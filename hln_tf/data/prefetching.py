"""Work that is done ahead of its use, in a thread of its own."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def prefetched(values: Iterator[T], ahead: int = 2) -> Iterator[Iterator[T]]:
    """Compute the values of an iterator in a thread, some ahead of their use.

    Args:
      values: The iterator, which that thread alone advances.
      ahead: The number of values that wait at most.

    Yields:
      An iterator of the same values; it raises what the iterator raises.
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:

        def ordered() -> Iterator[T]:
            waiting = deque(thread.submit(next, values, end) for _ in range(ahead))
            while (value := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, values, end))
                yield value  # type: ignore[misc]

        try:
            yield ordered()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
