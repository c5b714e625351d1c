"""This package's training steps, at the sizes of the others."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.model_preset import ModelPreset
from benchmarks.others.rounds import Round, Work
from benchmarks.throughput.operations import training_step
from hln_tf.training import DataDescription, RunConfig


def own_round(work: Work, name: str, preset: str = "paper", **changes: Any) -> Round:
    """Make a round of training of a model of the package.

    Args:
      work: The prefixes.
      name: The model.
      preset: Its preset.
      **changes: Settings of the model and of the training that differ.
    """
    settings = work.settings
    of_model, training = ModelPreset(name, preset).settings()
    changes = {"embedding_dim": settings.dim, "batch_size": settings.batch_size, **changes}
    fields = {field.name for field in dataclasses.fields(of_model)}
    of_model = dataclasses.replace(of_model, **{n: v for n, v in changes.items() if n in fields})
    training = dataclasses.replace(
        training,
        **{n: v for n, v in changes.items() if n not in fields},
        max_length=settings.max_length,
        seed=settings.seed,
    )
    data = DataDescription("", "", " ", work.num_items, "", "")
    keras.utils.set_random_seed(settings.seed)
    model = RunConfig(name, of_model, training, data).create_model()
    model(tf.ones([1, 2], tf.int32))
    model.fit_counts(work.sessions)
    step = training_step(model, training)
    order = work.prefixes.shuffled(settings.batch_size, settings.seed, 0)

    def run() -> None:
        batches = work.prefixes.batches(order, settings.batch_size)
        for number, batch in enumerate(batches):
            seed = np.array([settings.seed, number], np.int32)
            step(batch["items"], batch["target"], seed)
        tf.test.experimental.sync_devices()

    return Round(len(work.prefixes), run)
