"""One way to show progress."""

import sys
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_UPDATES_OF_A_FILE = 30.0


def progress_bar(label: str, unit: str, total: int | None = None, initial: int = 0) -> Any:
    """A progress bar with rate and time left, drawn anew less often in a log file.

    Args:
      label: What is under way.
      unit: What is counted, in the plural.
      total: How many there are, where that is known.
      initial: How many were done before.
    """
    return tqdm(
        desc=label,
        unit=f" {unit}",
        total=total,
        initial=initial,
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else SECONDS_BETWEEN_UPDATES_OF_A_FILE,
    )
