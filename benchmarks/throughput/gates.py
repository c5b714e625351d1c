"""Training steps of HLN with each leap gate."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from benchmarks.throughput.operations import create_hln, training_step
from benchmarks.throughput.settings import ThroughputSettings
from benchmarks.timing import rate, time_interleaved, time_ratio
from hln_tf.data.prefixes import Prefixes
from hln_tf.training import TrainingSettings

HEADER = ("batch", "leap gate", "examples/s", "time of a step, of additive's")
_PREDICTIVE = {"leap_gate": "predictive", "exclusive_groups": True}
# Each gate is compared with the additive one that has the same `normalize`.
VARIANTS: dict[str, dict[str, Any]] = {
    "additive": {},
    "additive, exclusive groups": {"exclusive_groups": True},
    "predictive, exclusive groups": _PREDICTIVE,
    "the same, recency": {**_PREDICTIVE, "aggregation": "recency"},
    "additive, normalize": {"normalize": True},
    "predictive, exclusive groups, normalize": {**_PREDICTIVE, "normalize": True},
}


def measure_gates(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: ThroughputSettings
) -> list[list[str]]:
    """Measure whole training steps on the same preloaded batches.

    Returns:
      Rows under `HEADER`.
    """
    chosen = prefixes.shuffled(batch_size, settings.seed, 0)[: settings.batches * batch_size]
    batches = list(prefixes.batches(chosen, batch_size))

    def one_pass(values: dict[str, Any]) -> Callable[[], None]:
        model = create_hln(num_items, settings.seed, **values)
        step = training_step(model, TrainingSettings())

        def run() -> None:
            for number, batch in enumerate(batches):
                step(batch["items"], batch["target"], tf.constant([1, number]))
            tf.test.experimental.sync_devices()

        return run

    functions = {name: one_pass(values) for name, values in VARIANTS.items()}
    seconds = time_interleaved(functions, settings.rounds, f"batch {batch_size}")
    rows = []
    for name, values in VARIANTS.items():
        basis = seconds["additive, normalize" if "normalize" in values else "additive"]
        own = seconds[name]
        rows.append([str(batch_size), name, rate(len(chosen), own), time_ratio(own, basis)])
    return rows
