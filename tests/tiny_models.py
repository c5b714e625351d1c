"""Tiny models of every kind, and examples from which they can learn, for tests of Keras' verbs."""

import importlib

import numpy as np
import tensorflow as tf

from hln_tf.models.registry import MODELS

NUM_ITEMS, LONGEST, BATCH = 25, 5, 16
METRICS = {f"{metric}@{k}" for metric in ("recall", "mrr") for k in (5, 10, 20)}

# As much of it as a model has.
SIZES = {"embedding_dim": 6, "hidden_dim": 5, "num_groups": 2, "memory_size": 20, "neighbors": 3}


def model_class(name):
    """Return the class of a registered model."""
    module, _, class_name = MODELS[name].implementation.partition(":")
    return getattr(importlib.import_module(module), class_name)


def make(name, **arguments):
    """Construct a registered model with tiny sizes by keyword arguments."""
    known = model_class(name).__signature__.parameters
    sizes = {key: value for key, value in SIZES.items() if key in known}
    return model_class(name)(num_items=NUM_ITEMS, **sizes | arguments)


def walks(seed=0, count=50):
    """Return sessions of 2 to 6 clicks, each a walk around the catalogue in steps of 1 to 3."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 7, size=count)
    starts = random.integers(NUM_ITEMS, size=count)
    return [
        list((start + random.integers(1, 4, length).cumsum()) % NUM_ITEMS + 1)
        for start, length in zip(starts, lengths, strict=True)
    ]


def examples(seed=0, count=50):
    """Return the items, int32 [count, time], and targets, int64 [count], of walks."""
    sessions = walks(seed, count)
    items = np.zeros([count, LONGEST], np.int32)
    for row, session in zip(items, sessions, strict=True):
        row[: len(session) - 1] = session[:-1]
    return items, np.array([session[-1] for session in sessions])


def dicts(items, target, batch=BATCH):
    """Return batches of `{"items", "target"}`; the last one is smaller."""
    return _batches({"items": items, "target": target}, batch)


def tuples(*parts, batch=BATCH):
    """Return batches of pairs, or of triples with the weights; the last one is smaller."""
    return _batches(parts, batch)


def _batches(parts, batch):
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of its thread may take a minute
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch).with_options(options)
