"""Progress bars."""

import sys
from typing import Any

from tqdm import tqdm

LOG_FILE_INTERVAL = 30.0  # seconds


def progress_bar(label: str, unit: str, total: int | None = None, initial: int = 0) -> Any:
    """Make a progress bar with rate and time left; it is updated less often in a log file.

    Args:
      label: Description of the work.
      unit: The units that are counted, in the plural.
      total: Number of units, if known.
      initial: Number of units that are done already.
    """
    return tqdm(
        desc=label,
        unit=f" {unit}",
        total=total,
        initial=initial,
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else LOG_FILE_INTERVAL,
    )
