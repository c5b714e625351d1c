"""Prediction latency of the models of Table 1."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.paper.latency_store import BATCH_SIZES, Latencies, LatencySettings
from benchmarks.throughput.operations import top_k
from benchmarks.timing import time_interleaved
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import read_sessions
from hln_tf.training import RunDirectory

K = 20


def measure_latencies(
    runs: Sequence[Path], data_dir: Path, settings: LatencySettings
) -> dict[Path, Latencies]:
    """Measure the prediction latency of each run's model, interleaved in this process.

    The models recommend `K` of all items for the same random test prefixes, alone
    and in batches.

    Args:
      runs: Run directories of finished runs on the data set.
      data_dir: The data set.
      settings: Amount of work.

    Returns:
      The latencies by run directory.
    """
    test = read_sessions(data_dir, "test")
    directories = [RunDirectory(run) for run in runs]
    recommend = {str(run.path): top_k(run.model(), K) for run in directories}
    latencies: dict[Path, Latencies] = {run: {} for run in runs}
    counts = {"alone": settings.prediction_sessions, "batch": settings.prediction_batches}
    for name, size in BATCH_SIZES.items():
        functions = {}
        for run in directories:
            prefixes = Prefixes.from_sessions(test, run.config().training.max_length)
            order = np.random.default_rng(0).choice(len(prefixes), counts[name] * size)
            batches = [batch["items"] for batch in prefixes.batches(order, size)]
            functions[str(run.path)] = _over_all(batches, recommend[str(run.path)])
        seconds = time_interleaved(functions, settings.prediction_rounds, f"prediction, {name}")
        sessions = counts[name] * size
        for path in runs:
            latencies[path][name] = [one / sessions for one in seconds[str(path)]]
    return latencies


def _over_all(
    batches: Sequence[np.ndarray], recommend: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[], None]:
    def run() -> None:
        for items in batches:
            recommend(items).numpy()

    return run
