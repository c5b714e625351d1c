"""Training, export and load of a catalogue of any size, for `benchmarks.memory`.

`python -m benchmarks.scaling.catalogue train|export|load BASE OUT ITEMS D BATCH STEPS`
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hln_tf.common import cli

CLICKS = 5
NEGATIVES = 1024


def item_id(index: int) -> str:
    """Return the id of an item, of 16 characters."""
    return f"item-{index:011}"


def train(items: int, embedding_dim: int, batch_size: int, steps: int) -> dict[str, float]:
    """Train on random sessions.

    Returns:
      Seconds from the start to the end of the first step, and those of a later one.
    """
    import tensorflow as tf

    from benchmarks.throughput.operations import training_step
    from hln_tf.models import HLN
    from hln_tf.tasks import SampledSoftmax
    from hln_tf.training import TrainingSettings

    model = HLN(items, embedding_dim=embedding_dim, loss=SampledSoftmax(NEGATIVES), seed=1)
    step = training_step(model, TrainingSettings())
    random = np.random.default_rng(1)
    ends = []
    for number in range(steps):
        clicks = random.integers(1, items + 1, [batch_size, CLICKS + 1]).astype(np.int32)
        step(clicks[:, :-1], clicks[:, -1], np.array([1, number], np.int32))
        tf.test.experimental.sync_devices()
        ends.append(time.monotonic())
    return {"first_step_at": ends[0], "step_seconds": (ends[-1] - ends[0]) / (steps - 1)}


def export(base: Path, items: int, embedding_dim: int) -> None:
    """Export a model with initial weights."""
    from hln_tf.export import export
    from hln_tf.models import HLN
    from hln_tf.retrieval import ServingSettings
    from hln_tf.retrieval.session_graph import SessionGraph

    model = HLN(items, embedding_dim=embedding_dim, seed=1)
    vocabulary = [item_id(index) for index in range(1, items + 1)]
    export(SessionGraph(model, vocabulary, 50, " ", None, ServingSettings()), base, {})


def load(base: Path) -> None:
    """Load the export as the server does, which answers its warm-up requests, and one more."""
    from serving.servable import Servable

    model = Servable(str(base / "1"), base.name, 1)
    signature = model.signature("sessions")
    assert signature is not None
    signature.run({"sessions": np.array([f"{item_id(1)} {item_id(2)}".encode()], object)})


def main(arguments: Sequence[str]) -> None:
    """Run a stage and write what it has measured."""
    started = time.monotonic()
    stage, base, out = arguments[0], Path(arguments[1]), Path(arguments[2])
    items, embedding_dim, batch_size, steps = map(int, arguments[3:])
    cli.import_tensorflow()
    found: dict[str, float] = {}
    if stage == "train":
        found = train(items, embedding_dim, batch_size, steps)
        found["first_step_seconds"] = found.pop("first_step_at") - started
    elif stage == "export":
        export(base, items, embedding_dim)
    else:
        load(base)
        found["first_answer_seconds"] = time.monotonic() - started
    found["cpu_seconds"] = time.process_time()
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
