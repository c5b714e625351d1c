"""Recommending for sessions and ranking a test split: the package against plain."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate, per_second, ratios
from benchmarks.paper_model import new_model
from benchmarks.plain import PlainHLN
from benchmarks.settings import BenchmarkSettings
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.layers.catalogue_scores import SCORING, catalogue_top_k
from hln_tf.training.evaluation import evaluate

PREDICT_HEADER = ("batch", "who", "sequences/s", "ms a batch", "times as fast as plain")
EVALUATE_HEADER = ("batch", "who", "sequences/s", "seconds", "times as fast as plain")
K = 20
SIGNATURE = [tf.TensorSpec([None, None], tf.int32)]


def compare_prediction(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: BenchmarkSettings
) -> list[list[str]]:
    """Rows of the table of recommending 20 items for sessions that come at random."""
    model = new_model(num_items, settings.seed)
    plain = PlainHLN(model)
    package_top = tf.function(
        lambda items: catalogue_top_k(model.encode(items), model.candidates(), K),
        input_signature=SIGNATURE,
    )
    plain_top = tf.function(
        lambda items: tf.math.top_k(plain.scores(items), K), input_signature=SIGNATURE
    )
    order = np.random.default_rng(settings.seed).permutation(len(prefixes))
    order = order[: settings.batches * batch_size]
    at_hand = [batch["items"] for batch in prefixes.batches(order, batch_size)]

    def over(top: Callable[[tf.Tensor], Any]) -> Callable[[], None]:
        def whole_round() -> None:
            for items in at_hand:
                top(items)[0].numpy()

        return whole_round

    contestants = {"package": over(package_top), "plain": over(plain_top)}
    taken = alternate(contestants, settings.rounds, f"batch {batch_size}, predict")
    return [
        [
            str(batch_size),
            name,
            per_second(len(order), seconds),
            " / ".join(
                f"{1e3 * one / len(at_hand):.2f}"
                for one in (min(seconds), statistics.median(seconds))
            ),
            ratios(taken["plain"], seconds),
        ]
        for name, seconds in taken.items()
    ]


def compare_evaluation(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: BenchmarkSettings
) -> tuple[list[list[str]], float]:
    """Rows of the table of ranking every prefix, and the share of the scoring product.

    Returns:
      The rows, and of the package's time in the profiler the share that the
      product of queries and item vectors takes.
    """
    model = new_model(num_items, settings.seed)
    plain = PlainHLN(model)

    @tf.function(input_signature=[*SIGNATURE, tf.TensorSpec([None], tf.int32)])
    def plain_hits(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return tf.math.in_top_k(target - 1, plain.scores(items), K)

    def run_plain() -> None:
        for batch in prefixes.batches(np.arange(len(prefixes)), batch_size):
            plain_hits(batch["items"], batch["target"]).numpy()

    def run_package() -> None:
        with StopOnSignal() as stop:
            evaluate(model, prefixes, batch_size, "ranking", stop)

    contestants = {"package": run_package, "plain": run_plain}
    taken = alternate(contestants, settings.rounds, f"batch {batch_size}, evaluate")
    rows = [
        [
            str(batch_size),
            name,
            per_second(len(prefixes), seconds),
            f"{min(seconds):.2f} / {statistics.median(seconds):.2f}",
            ratios(taken["plain"], seconds),
        ]
        for name, seconds in taken.items()
    ]
    return rows, profiled_share(run_package, SCORING)


def profiled_share(run: Callable[[], None], scope: str) -> float:
    """Share of the wall time that TensorFlow's profiler gives to the products in a name scope.

    Raises:
      ValueError: The profile holds no product in that scope.
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
        raise ValueError(f"the profile holds no product in the name scope {scope!r}")
    wall = max(end for _, end in intervals["all"]) - min(start for start, _ in intervals["all"])
    return sum(end - start for start, end in intervals[scope]) / wall
