"""Evaluation throughput of HLN: the package and the plain implementation."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.throughput.operations import rank_each_prefix, rank_targets
from benchmarks.throughput.plain import PlainHLN
from benchmarks.throughput.settings import ThroughputSettings
from benchmarks.timing import best_and_median, rate, time_interleaved, time_ratio
from hln_tf.data.prefixes import Prefixes
from hln_tf.layers.catalogue_scores import SCORING
from hln_tf.models import HLN

HEADER = ("batch", "implementation", "examples/s", "seconds", "CPU seconds", "speed-up over plain")
K = 20
EACH_PREFIX = "package, each prefix by itself"


def measure_evaluation(
    prefixes: Prefixes, model: HLN, batch_size: int, settings: ThroughputSettings
) -> tuple[list[list[str]], float]:
    """Measure the ranking of every target.

    Args:
      prefixes: The examples.
      model: The model, whose gates decide how many prefixes are encoded by themselves.
      batch_size: Examples in a batch.
      settings: The amount of work.

    Returns:
      Rows under `HEADER`, and the share of the package's time that the profiler
      attributes to the products of query embeddings and item embeddings.
    """
    plain = PlainHLN(model)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def plain_hits(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return tf.math.in_top_k(target - 1, plain.scores(items), K)

    def run_plain() -> None:
        for batch in prefixes.batches(np.arange(len(prefixes)), batch_size):
            plain_hits(batch["items"], batch["target"]).numpy()

    def run_package() -> None:
        rank_targets(model, prefixes, batch_size)

    def run_each() -> None:
        rank_each_prefix(model, prefixes, batch_size)

    functions = {"package": run_package, EACH_PREFIX: run_each, "plain": run_plain}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in functions}

    def with_cpu_seconds(name: str) -> Callable[[], None]:
        def run() -> None:
            started = time.process_time()
            functions[name]()
            cpu_seconds[name].append(time.process_time() - started)

        return run

    implementations = {name: with_cpu_seconds(name) for name in functions}
    seconds_of = time_interleaved(implementations, settings.rounds, f"batch {batch_size}, evaluate")
    rows = [
        [
            str(batch_size),
            name,
            rate(len(prefixes), seconds),
            best_and_median(seconds, 2),
            best_and_median(cpu_seconds[name][1:], 2),  # without the warm-up round
            time_ratio(seconds_of["plain"], seconds),
        ]
        for name, seconds in seconds_of.items()
    ]
    return rows, profiled_share(run_package, SCORING)


def profiled_share(run: Callable[[], None], scope: str) -> float:
    """Compute the share of the wall time that products in a name scope take in a profile.

    Raises:
      ValueError: The profile has no product in that scope.
    """
    # Part of TensorFlow's package, though not of its documented interface.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            run()
        intervals: dict[str, list[tuple[int, int]]] = {"all": [], scope: []}
        for path in Path(directory).rglob("*.xplane.pb"):
            space = xplane_pb2.XSpace.FromString(path.read_bytes())
            for plane in space.planes:
                for line in plane.lines:
                    for event in line.events:
                        name = plane.event_metadata[event.metadata_id].name
                        started = line.timestamp_ns * 1000 + event.offset_ps
                        interval = (started, started + event.duration_ps)
                        intervals["all"].append(interval)
                        if f"{scope}/" in name and "MatMul" in name:
                            intervals[scope].append(interval)
    if not intervals[scope]:
        raise ValueError(f"the profile has no product in the name scope {scope!r}")
    wall = max(end for _, end in intervals["all"]) - min(start for start, _ in intervals["all"])
    return sum(end - start for start, end in intervals[scope]) / wall
