"""Worker threads for work that would block the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

# Requests from this size are parsed, and responses from this size written, in a thread.
LARGE_BYTES = 2**16
LARGE_ELEMENTS = 2**13

T = TypeVar("T")


async def offload_if(is_large: bool, work: Callable[[], T]) -> T:
    """Call a function in a worker thread if its work is large, else directly."""
    return await asyncio.to_thread(work) if is_large else work()
