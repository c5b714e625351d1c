"""Training steps of several models on the same prefixes."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.measure import alternate, per_second, ratios
from benchmarks.rows import Row
from benchmarks.settings import StepSettings
from hln_tf.data.layout import Manifest
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.training.settings import DataDescription, RunConfig
from hln_tf.training.trainer import compile_step, make_optimizer

HEADER = (
    "model (preset)",
    "batch",
    "loss",
    "sequences/s",
    "seconds an epoch",
    "times the first's",
)


def compare_steps(
    rows: Sequence[Row], data_dir: Path, manifest: Manifest, settings: StepSettings
) -> list[list[str]]:
    """Rows of the table of training speed, one for each model.

    Args:
      rows: The models; the first is what the others are compared with.
      data_dir: The data set.
      manifest: What it holds.
      settings: How much is measured.
    """
    train = read_sessions(data_dir, "train")
    count = min(settings.prefixes, train.prefixes)
    chosen = np.random.default_rng(settings.seed).permutation(train.prefixes)[:count]
    contestants, trainings = {}, {}
    for row in rows:
        of_model, of_training = row.settings()
        data = DataDescription.from_manifest(manifest, data_dir)
        config = RunConfig(
            row.model, of_model, dataclasses.replace(of_training, seed=settings.seed), data
        )
        contestants[str(row)] = _round(config, train, chosen)
        trainings[str(row)] = config.training
    taken = alternate(contestants, settings.rounds, f"{count:,} prefixes")
    first = next(iter(taken.values()))
    return [
        [
            name,
            str(trainings[name].batch_size),
            trainings[name].loss,
            per_second(count, seconds),
            " / ".join(
                f"{one * train.prefixes / count:,.1f}"
                for one in (min(seconds), statistics.median(seconds))
            ),
            ratios(seconds, first),
        ]
        for name, seconds in taken.items()
    ]


def _round(config: RunConfig, train: Sessions, chosen: np.ndarray) -> Callable[[], None]:
    """Steps on chosen prefixes, in batches of like length as the training makes them."""
    settings = config.training
    every = Prefixes.from_sessions(train, settings.max_length)
    prefixes = Prefixes(every.items, every.targets[chosen], every.lengths[chosen])
    keras.utils.set_random_seed(settings.seed)
    model = config.create_model()
    model(tf.ones([1, 2], tf.int32))
    model.fit_counts(train)
    step = compile_step(model, make_optimizer(settings), keras.metrics.Mean())
    order = prefixes.shuffled(settings.batch_size, settings.seed, 0)

    def whole_round() -> None:
        for number, batch in enumerate(prefixes.batches(order, settings.batch_size)):
            seed = np.array([settings.seed, number], np.int32)
            step(batch["items"], batch["target"], seed)
        tf.test.experimental.sync_devices()

    return whole_round
