"""Interruption of a training at a step boundary by a signal."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class TrainingInterrupt(BaseException):
    """A signal asked the training to stop; its checkpoint is written.

    Like `KeyboardInterrupt` it is no `Exception`, so that no handler of
    failures catches it.

    Attributes:
      number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopOnSignal:
    """A context in which SIGINT and SIGTERM ask to stop at a step boundary.

    Outside of it, and in a thread that is not the main one, which receives no
    signals, nothing is asked for and `check` never raises.

    Args:
      all_reduce_max: Returns the maximum of a number over all workers of a
        training, so that a signal to one stops all at the same step.
      interval: Calls of `check` of which one calls `all_reduce_max`, which
        blocks until all workers have called it.
    """

    def __init__(self, all_reduce_max: Callable[[int], int] = int, interval: int = 1) -> None:
        self._all_reduce_max = all_reduce_max
        self._interval = interval
        self._checks = 0
        self._received = 0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        self._received = 0
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `TrainingInterrupt` if a signal was received."""
        self._checks += 1
        if self._checks % self._interval:
            return
        received = self._all_reduce_max(self._received)
        if received:
            raise TrainingInterrupt(received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        # A second signal stops the process without waiting for the end of the step.
        signal.signal(number, self._handlers[number])
