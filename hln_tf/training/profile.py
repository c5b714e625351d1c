"""TensorBoard's profile of some training steps."""

import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm


class Profile:
    """Profile of a range of this process' steps.

    Args:
      directory: The directory of the event files; None to write none.
      steps: First and last step, counted from 1; None to profile nothing.

    Attributes:
      steps: The same; None where nothing is written.
    """

    def __init__(self, directory: Path | None, steps: tuple[int, int] | None) -> None:
        self._directory = directory
        self.steps = None if directory is None else steps
        self._done = 0
        self._is_running = False

    def begin(self) -> None:
        """Start profiling if the first step is in the range."""
        self._start_or_stop()

    def stepped(self, steps: int) -> None:
        """Count finished steps, and start or stop profiling after them."""
        self._done += steps
        self._start_or_stop()

    def close(self) -> None:
        """Write a profile whose last step was not reached, or report that there is none."""
        if self.steps is None or self._done >= self.steps[1]:
            return
        first, last = self.steps
        if self._is_running:
            self._stop()
            profiled = f"{self._done - first + 1} of {last - first + 1} steps were profiled"
        else:
            profiled = "nothing was profiled"
        print(
            f"{profiled}: --profile_steps names the steps {first} to {last} of this process, which "
            f"took {self._done}",
            file=sys.stderr,
        )

    def _start_or_stop(self) -> None:
        if self.steps is None:
            return
        first, last = self.steps
        if self._done == first - 1:
            tf.profiler.experimental.start(str(self._directory))
            self._is_running = True
        elif self._done == last and self._is_running:
            self._stop()

    def _stop(self) -> None:
        self._is_running = False
        tf.profiler.experimental.stop()
        tqdm.write(f"wrote a profile below {self._directory}", file=sys.stderr)
