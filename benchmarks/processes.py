"""Child processes: runs of training, and commands whose time and memory are measured."""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt

_TRAINING_POLL_SECONDS = 0.2
_MEMORY_POLL_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class ProcessCost:
    """Time and memory of a process and its children.

    Attributes:
      seconds: From start to exit.
      cpu_seconds: Of all its processes and threads.
      peak_bytes: Peak resident memory of all its processes together; 0 where
        the system has no /proc.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run_training(arguments: Sequence[str], stop: StopOnSignal) -> int:
    """Run `python -m hln_tf.train` to its end; its output goes to standard error.

    Args:
      arguments: Its arguments.
      stop: The source of interrupts, which are forwarded so that the run saves its state.

    Returns:
      Its exit code, negative if a signal killed it.

    Raises:
      TrainingInterrupt: A signal interrupted the run, and it has ended.
    """
    command = [sys.executable, "-m", "hln_tf.train", *arguments]
    sys.stderr.flush()
    # In its own process group, so that Ctrl-C reaches it once, forwarded by this process.
    with subprocess.Popen(command, stdout=2, process_group=0) as process:
        try:
            while True:
                try:
                    return process.wait(_TRAINING_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    stop.check()
        except TrainingInterrupt as stopped:
            process.send_signal(stopped.number)
            process.wait()
            raise
        finally:
            process.kill()  # no effect on a process that has ended


def describe_exit(code: int) -> str:
    """Describe an exit code, such as `exit code 1` or `killed by SIGKILL`."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def measure(command: Sequence[str]) -> ProcessCost:
    """Run a command to its end and measure its time and memory.

    Raises:
      HlnError: It fails; the message ends with the last line of its output.
    """
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        peak = 0
        try:
            while not (status := os.wait4(process.pid, os.WNOHANG))[0]:
                peak = max(peak, resident_bytes(process.pid))
                time.sleep(_MEMORY_POLL_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - started
        _, code, usage = status
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-1:]
            raise HlnError(f"{' '.join(command)} failed: {' '.join(last) or process.returncode}")
    return ProcessCost(seconds, usage.ru_utime + usage.ru_stime, peak)


def resident_bytes(pid: int) -> int:
    """Compute the resident memory of a process and its living descendants."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, family = 0, [pid]
    while family:
        process = Path(f"/proc/{family.pop()}")
        try:
            total += int((process / "statm").read_text().split()[1]) * page
            for thread in (process / "task").iterdir():
                family += map(int, (thread / "children").read_text().split())
        except (OSError, IndexError):
            continue  # the process has just ended
    return total


def python(*arguments: str) -> list[str]:
    """Build a command that runs this interpreter."""
    return [sys.executable, *arguments]
