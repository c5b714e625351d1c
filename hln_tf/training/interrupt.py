"""Stopping at a step boundary when a signal asks for it."""

import signal
from types import FrameType


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
    """Turns SIGINT and SIGTERM into a request to stop at the next step."""

    def __init__(self) -> None:
        self._received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def check(self) -> None:
        """Raises `TrainingInterrupt` where a signal has come."""
        if self._received is not None:
            raise TrainingInterrupt(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        # A second signal does not wait for the step to end.
        signal.signal(number, signal.SIG_DFL)
