"""Runs of training, each a process of its own. Imports no TensorFlow."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt

_SECONDS_BETWEEN_LOOKS = 0.2


def train(arguments: Sequence[str], stop: StopOnSignal) -> int:
    """Runs `python -m hln_tf.train` to its end; what it prints goes to standard error.

    Args:
      arguments: Its arguments.
      stop: Says when to stop; the run is told to, and saves its state.

    Returns:
      Its exit code, negative where a signal killed it.

    Raises:
      TrainingInterrupt: A signal asked to stop, and the run has ended.
    """
    command = [sys.executable, "-m", "hln_tf.train", *arguments]
    sys.stderr.flush()
    # In a group of its own, so that Ctrl-C reaches it once and by way of this process.
    with subprocess.Popen(command, stdout=2, process_group=0) as process:
        try:
            while True:
                try:
                    return process.wait(_SECONDS_BETWEEN_LOOKS)
                except subprocess.TimeoutExpired:
                    stop.check()
        except TrainingInterrupt as stopped:
            process.send_signal(stopped.number)
            process.wait()
            raise
        finally:
            process.kill()  # does nothing to one that has ended


def describe_exit(code: int) -> str:
    """An exit code in words, such as `exit code 1` or `killed by SIGKILL`."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
