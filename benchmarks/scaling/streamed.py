"""Training from streamed examples: `python -m benchmarks.scaling.streamed DATA OUT STEPS BATCH`."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli


def main(arguments: Sequence[str]) -> None:
    """Read all examples of train once, train for some steps, and write counts and times."""
    data_dir, out = arguments[:2]
    steps, batch_size = map(int, arguments[2:])
    cli.import_tensorflow()
    import tf_keras as keras

    import hln_tf

    dataset = hln_tf.SessionDataset.from_directory(data_dir)
    examples = dataset.examples(batch_size, streamed=True)
    counts: dict[str, float] = {"items": dataset.num_items}
    started, cpu = time.monotonic(), time.process_time()
    counts["examples"] = sum(len(batch["target"]) for batch in examples.as_numpy_iterator())
    counts["read_cpu_seconds"] = time.process_time() - cpu
    counts["read_seconds"] = time.monotonic() - started
    sizes = {"embedding_dim": 32, "hidden_dim": 32, "num_groups": 2}
    model = hln_tf.HLN(dataset.num_items, **sizes, loss="sampled")
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    started = time.monotonic()
    model.fit(examples.repeat(), steps_per_epoch=steps, epochs=1, verbose=0)
    counts["trained_examples"] = steps * batch_size
    counts["training_seconds"] = time.monotonic() - started
    Path(out).write_text(json.dumps(counts), "utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
