"""Prediction throughput of HLN: the package and the plain implementation."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.throughput.operations import create_hln, top_k
from benchmarks.throughput.plain import PlainHLN
from benchmarks.throughput.settings import ThroughputSettings
from benchmarks.timing import best_and_median, rate, time_interleaved, time_ratio
from hln_tf.data.prefixes import Prefixes

HEADER = ("batch", "implementation", "sessions/s", "ms/batch", "speed-up over plain")
K = 20


def measure_prediction(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: ThroughputSettings
) -> list[list[str]]:
    """Measure the recommendation of `K` items for random sessions.

    Returns:
      Rows under `HEADER`.
    """
    model = create_hln(num_items, settings.seed)
    plain = PlainHLN(model)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def plain_top_k(items: tf.Tensor) -> tf.Tensor:
        return tf.math.top_k(plain.scores(items), min(K, num_items)).indices

    order = np.random.default_rng(settings.seed).permutation(len(prefixes))
    order = order[: settings.batches * batch_size]
    batches = [batch["items"] for batch in prefixes.batches(order, batch_size)]

    def over_all(recommend: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[], None]:
        def run() -> None:
            for items in batches:
                recommend(items).numpy()

        return run

    implementations = {"package": over_all(top_k(model, K)), "plain": over_all(plain_top_k)}
    seconds_of = time_interleaved(implementations, settings.rounds, f"batch {batch_size}, predict")
    return [
        [
            str(batch_size),
            name,
            rate(len(order), seconds),
            best_and_median([1e3 * one / len(batches) for one in seconds], 2),
            time_ratio(seconds_of["plain"], seconds),
        ]
        for name, seconds in seconds_of.items()
    ]
