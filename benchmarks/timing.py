"""Interleaved timing of functions, and rates and speed-ups from the times."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hln_tf.common.progress import progress_bar


def time_interleaved(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int,
    label: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time functions in turn: an unmeasured warm-up round, then the measured rounds.

    Args:
      functions: The functions by name.
      rounds: Number of measured rounds; each calls every function once.
      label: Text of the progress bar.
      clock: Returns seconds.

    Returns:
      The seconds of each function in each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    with progress_bar(label, "runs", (rounds + 1) * len(functions)) as bar:
        for round_number in range(rounds + 1):
            for name, function in functions.items():
                started = clock()
                function()
                if round_number:
                    seconds[name].append(clock() - started)
                bar.update()
    return seconds


def best_and_median(values: Sequence[float], digits: int) -> str:
    """Format the minimum and the median of a measurement over the rounds."""
    return f"{min(values):,.{digits}f} / {statistics.median(values):,.{digits}f}"


def rate(count: float, seconds: Sequence[float]) -> str:
    """Format a rate per second, in the best round and in the median round."""
    return f"{count / min(seconds):,.0f} / {count / statistics.median(seconds):,.0f}"


def time_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> str:
    """Format the ratio of two measurements, by their minima and by their medians."""
    best = min(numerator) / min(denominator)
    median = statistics.median(numerator) / statistics.median(denominator)
    return f"{best:.2f} / {median:.2f}"
