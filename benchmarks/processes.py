"""Runs commands and measures their time and memory, children included."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common.errors import HlnError

_INTERVAL = 0.02  # seconds between two looks at the memory


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a run cost.

    Attributes:
      seconds: From start to exit.
      cpu_seconds: Of all its processes and threads.
      peak_bytes: Most resident memory of all its processes together; 0 where
        the system has no /proc.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(command: Sequence[str]) -> Measured:
    """Runs a command to its end.

    Raises:
      HlnError: It fails; the message ends with the last line that it printed.
    """
    with tempfile.TemporaryFile() as printed:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=printed, stderr=printed)
        peak = 0
        try:
            while not (status := os.wait4(process.pid, os.WNOHANG))[0]:
                peak = max(peak, resident_bytes(process.pid))
                time.sleep(_INTERVAL)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - started
        _, code, usage = status
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            printed.seek(0)
            last = printed.read().decode(errors="replace").strip().splitlines()[-1:]
            raise HlnError(f"{' '.join(command)} failed: {' '.join(last) or process.returncode}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants, as far as they still run."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, family = 0, [pid]
    while family:
        process = Path(f"/proc/{family.pop()}")
        try:
            total += int((process / "statm").read_text().split()[1]) * page
            for thread in (process / "task").iterdir():
                family += map(int, (thread / "children").read_text().split())
        except (OSError, IndexError):
            continue  # it has just ended
    return total


def python(*arguments: str) -> list[str]:
    """A command that runs this interpreter."""
    return [sys.executable, *arguments]
