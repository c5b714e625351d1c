"""Training throughput of several models on the same prefixes."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.model_preset import ModelPreset
from benchmarks.throughput.operations import training_step
from benchmarks.throughput.settings import ModelThroughputSettings
from benchmarks.timing import best_and_median, rate, time_interleaved, time_ratio
from hln_tf.data.layout import Manifest
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.training import DataDescription, RunConfig

HEADER = (
    "model (preset)",
    "batch",
    "loss",
    "examples/s",
    "s/epoch",
    "time relative to the first",
)


def measure_models(
    models: Sequence[ModelPreset],
    data_dir: Path,
    manifest: Manifest,
    settings: ModelThroughputSettings,
) -> list[list[str]]:
    """Measure the training throughput of models.

    Args:
      models: The models; the others are compared with the first.
      data_dir: The data set.
      manifest: Its manifest.
      settings: Amount of work.

    Returns:
      Rows under `HEADER`, one for each model.
    """
    train = read_sessions(data_dir, "train")
    count = min(settings.prefixes, train.prefixes)
    chosen = np.random.default_rng(settings.seed).permutation(train.prefixes)[:count]
    epochs, trainings = {}, {}
    for model in models:
        model_settings, training = model.settings()
        training = dataclasses.replace(training, seed=settings.seed)
        data = DataDescription.from_manifest(manifest, data_dir)
        config = RunConfig(model.model, model_settings, training, data)
        epochs[str(model)] = _epoch(config, train, chosen)
        trainings[str(model)] = training
    seconds_of = time_interleaved(epochs, settings.rounds, f"{count:,} prefixes")
    first = next(iter(seconds_of.values()))
    return [
        [
            name,
            str(trainings[name].batch_size),
            trainings[name].loss,
            rate(count, seconds),
            best_and_median([one * train.prefixes / count for one in seconds], 1),
            time_ratio(seconds, first),
        ]
        for name, seconds in seconds_of.items()
    ]


def _epoch(config: RunConfig, train: Sessions, chosen: np.ndarray) -> Callable[[], None]:
    """Make a round: steps on the chosen prefixes, in batches as the training makes them."""
    settings = config.training
    every = Prefixes.from_sessions(train, settings.max_length)
    prefixes = Prefixes(every.items, every.targets[chosen], every.lengths[chosen])
    keras.utils.set_random_seed(settings.seed)
    model = config.create_model()
    model(tf.ones([1, 2], tf.int32))
    model.fit_counts(train)
    step = training_step(model, settings)
    order = prefixes.shuffled(settings.batch_size, settings.seed, 0)

    def run() -> None:
        for number, batch in enumerate(prefixes.batches(order, settings.batch_size)):
            seed = np.array([settings.seed, number], np.int32)
            step(batch["items"], batch["target"], seed)
        tf.test.experimental.sync_devices()

    return run
