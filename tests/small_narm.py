"""NARM and CSRM in plain NumPy, in float64 and one session at a time, and small models."""

import numpy as np
import reference
from one_step import central_differences

from hln_tf.models.csrm import CSRM
from hln_tf.models.narm import NARM

NUM_ITEMS, D, N = 7, 3, 4
MEMORY, NEIGHBORS = 6, 3

# Padded at the end, at the start and between clicks.
ITEMS = np.array([[3, 1, 3, 0], [0, 0, 0, 5], [7, 0, 2, 2]], np.int32)
TARGET = np.array([2, 7, 3], np.int32)
SEED = np.array([1, 2], np.int32)


def make_model(model_class=NARM, seed=1, **arguments):
    """A model with random values of every trained weight; its memory is empty."""
    arguments = {"embedding_dim": D, "hidden_dim": N, **arguments}
    if model_class is CSRM:
        arguments = {"memory_size": MEMORY, "neighbors": NEIGHBORS, **arguments}
    model = model_class(NUM_ITEMS, **arguments)
    model.build()
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return model


def variables_of(model):
    """The trained weights by the names that the reference gives them."""
    gru, attention = model.gru, model.attention
    result = {
        "X": model.X,
        "kernel": gru.kernel,
        "bias": gru.bias,
        "U": gru.U,
        "c": gru.c,
        "A1": attention.A1,
        "A2": attention.A2,
        "v": attention.v,
        "B": model.B,
    }
    return result | ({"w": model.w} if isinstance(model, CSRM) else {})


def values_of(model):
    return {name: each.numpy().astype(np.float64) for name, each in variables_of(model).items()}


def states(x, w):
    """The GRU's states over item embeddings [time, d]."""
    recurrent_bias = np.concatenate([np.zeros(2 * N), w["c"]])
    gru = {
        "kernel": w["kernel"],
        "recurrent_kernel": w["U"],
        "bias": np.stack([w["bias"], recurrent_bias]),
    }
    h = [np.zeros(N)]
    for x_t in x:
        h.append(reference.gru_step(h[-1], x_t, gru))
    return h[1:]


def session(items, w):
    """The global and the local encoding of a session."""
    h = states(w["X"][items[items > 0] - 1], w)
    alpha = [w["v"][:, 0] @ reference.sigmoid(w["A1"] @ h[-1] + w["A2"] @ h_j) for h_j in h]
    return h[-1], sum(a * h_j for a, h_j in zip(alpha, h, strict=True))


def narm_query(items, w):
    return w["B"] @ np.concatenate(session(items, w))


def read(key, stored, neighbors=NEIGHBORS):
    """What a key reads from the stored encodings."""
    if not len(stored):
        return np.zeros(len(key))
    cosines = stored @ key / np.linalg.norm(stored, axis=1) / np.linalg.norm(key)
    nearest = np.argsort(-cosines)[:neighbors]
    return np.exp(reference.log_softmax(cosines[nearest])) @ stored[nearest]


def standardized(x):
    return (x - np.mean(x)) / np.sqrt(np.var(x) + 1e-10)


def csrm_query(items, w, stored):
    last, local = session(items, w)
    g, m = standardized(last), standardized(read(local, stored))
    l = standardized(local)  # noqa: E741 the local encoding
    f = reference.sigmoid(w["w"][0] @ l + w["w"][1] @ m + w["w"][2] @ g)
    return w["B"] @ (f * np.concatenate([g, l]) + (1 - f) * np.concatenate([m, m]))


def loss(query, w):
    """The mean cross-entropy of a query function over the batch."""
    scores = [w["X"] @ query(items, w) for items in ITEMS]
    return reference.softmax_cross_entropy(scores, TARGET - 1)


def gradients(query, w):
    """Central differences of `loss` by each weight."""
    return central_differences(lambda weights: loss(query, weights), w)
