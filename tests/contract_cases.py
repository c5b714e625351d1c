"""Every model by a case of the contract, small and after counting, with weights of any kind."""

import dataclasses

import numpy as np
import tensorflow as tf

from hln_tf.data.sessions import Sessions
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.registry import MODELS

NUM_ITEMS = 11
MAX_LENGTH = 4
TRAIN = [[1, 2, 3], [2, 3, 2, 3], [3, 4], [5, 1, 2], [2, 3, 9]]
SESSIONS = [[3], [2, 3], [11, 2, 2, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2, 3], [5, 5, 5]]

# Item ids: with unknown ones among known ones, alone, and in a session longer than is used.
SESSIONS_OF_IDS = [
    ["i3"],
    ["i2", "new", "i3"],
    ["new", "newer"],
    [],
    [f"i{i}" for i in range(1, 12)],
]

# With this leap bias most clicks are retained: without any there is nothing to compare.
SMALL = {"embedding_dim": 4, "hidden_dim": 3, "num_groups": 2, "leap_bias": -2.0}
SMALL |= {"memory_size": 7, "neighbors": 3}

# Each model, and options of encoders with one of them: the model's name and the settings.
CASES = {name: (name, {}) for name in MODELS}
CASES |= {
    "hln and the last click": ("hln", {"last_click": "projected"}),
    "stamp and the last click": ("stamp", {"last_click": "scaled", "normalize": True}),
    "hln and a repeat head": ("hln", {"repeat_head": True}),
    "stamp and a repeat head": ("stamp", {"repeat_head": True, "normalize": True}),
}

# Those that find preference groups in a session.
WITH_GROUPS = {name for name, (model, _) in CASES.items() if model == "hln"}


def entry_of(name):
    return MODELS[CASES[name][0]]


def small_settings(name):
    entry, changes = entry_of(name), CASES[name][1]
    names = {field.name for field in dataclasses.fields(entry.settings)}
    sizes = {name: value for name, value in SMALL.items() if name in names}
    return entry.settings(**sizes | changes)


def padded(sessions, width=None):
    items = np.zeros((len(sessions), width or max(map(len, sessions))), np.int32)
    for row, session in zip(items, sessions, strict=True):
        row[: len(session)] = session
    return tf.constant(items)


def create(config, seed=0):
    """A model that has counted, with random changes of every weight."""
    model = config.create_model()
    model.build()
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign_add(random.normal(0.0, 0.7, weight.shape))
    if isinstance(model, SessionEncoder):
        model.after_step(padded(SESSIONS))
    model.fit_counts(Sessions.from_lists(TRAIN))
    return model
