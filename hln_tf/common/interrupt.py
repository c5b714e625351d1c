"""Stopping at a step boundary when a signal asks for it."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class TrainingInterrupt(BaseException):
    """A signal asked the training to stop; its state is saved.

    Like `KeyboardInterrupt` it is no `Exception`, so that nothing on the way
    takes it for a failure.

    Attributes:
      number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopOnSignal:
    """A context in which SIGINT and SIGTERM ask to stop at the next step.

    Args:
      highest: The highest of the numbers that all workers of a training have,
        so that a signal to one stops all at the same step.
    """

    def __init__(self, highest: Callable[[int], int] = int) -> None:
        self._highest = highest
        self._received = 0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises `TrainingInterrupt` where a signal has come."""
        received = self._highest(self._received)
        if received:
            raise TrainingInterrupt(received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        # A second signal does not wait for the step to end.
        signal.signal(number, self._handlers[number])
