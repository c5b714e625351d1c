"""Training steps of HLN as graphs and as programs of XLA, one and several in a call."""

import dataclasses
import time
from collections.abc import Callable

from benchmarks.throughput.operations import create_hln, training_pass
from benchmarks.throughput.settings import ThroughputSettings
from benchmarks.timing import rate, time_interleaved, time_ratio
from hln_tf.data.prefixes import Prefixes
from hln_tf.training import TrainingSettings

HEADER = (
    "batch",
    "execution",
    "steps in a call",
    "batches made",
    "examples/s",
    "of a graph's time",
    "CPU s of the first round",
)


@dataclasses.dataclass(frozen=True)
class _Variant:
    execution: str
    steps: int
    is_ahead: bool


VARIANTS = (
    _Variant("graph", 1, is_ahead=False),
    _Variant("graph", 1, is_ahead=True),
    _Variant("graph", 8, is_ahead=True),
    _Variant("xla", 1, is_ahead=True),
    _Variant("xla", 8, is_ahead=True),
)


def measure_executions(
    prefixes: Prefixes, num_items: int, batch_size: int, settings: ThroughputSettings
) -> list[list[str]]:
    """Measure whole training steps, making of the batches included.

    The first round, which is in no rate, traces and compiles.

    Returns:
      Rows under `HEADER`.
    """
    chosen = prefixes.shuffled(batch_size, settings.seed, 0)[: settings.batches * batch_size]

    def one_pass(variant: _Variant) -> Callable[[], None]:
        of_training = TrainingSettings(
            batch_size=batch_size,
            execution=variant.execution,
            steps_per_execution=variant.steps,
        )
        model = create_hln(num_items, settings.seed)
        return training_pass(model, of_training, prefixes, chosen, variant.is_ahead)

    functions = {str(number): one_pass(variant) for number, variant in enumerate(VARIANTS)}
    first = {}
    for name, run in functions.items():
        started = time.process_time()
        run()
        first[name] = time.process_time() - started
    seconds = time_interleaved(functions, settings.rounds, f"batch {batch_size}")
    return [
        [
            str(batch_size),
            variant.execution,
            str(variant.steps),
            "ahead" if variant.is_ahead else "between steps",
            rate(len(chosen), seconds[name]),
            time_ratio(seconds[name], seconds["0"]),
            f"{first[name]:.1f}",
        ]
        for name, variant in zip(functions, VARIANTS, strict=True)
    ]
