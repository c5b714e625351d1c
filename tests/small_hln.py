"""A small HLN with random weights, and its weights as the NumPy reference takes them."""

import numpy as np
import tensorflow as tf

from hln_tf.models.hln import HLN

NUM_ITEMS, D, N, L = 12, 4, 5, 3
# The gates of such a model leap over a third of the clicks, with probabilities from 0 to 1.
MIXED = 13


def make_model(seed=MIXED, num_items=NUM_ITEMS, **arguments):
    """A model with random values of every weight, also of those that start at zero."""
    arguments = {"embedding_dim": D, "hidden_dim": N, "num_groups": L, **arguments}
    model = HLN(num_items, **arguments)
    model.build()
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return model


def weights_of(model):
    cell, manager = model.leap_recurrent_unit.cell, model.preference_manager
    weights = {
        "W_p": cell.W_p,
        "U_p": cell.U_p,
        "w_q": cell.w_q,
        "u_q": cell.u_q,
        "b": cell.b,
        "kernel": cell.kernel,
        "recurrent_kernel": cell.U,
        "bias": tf.stack([cell.bias, tf.pad(cell.c, [[2 * cell.units, 0]])]),
        "W": model.W,
    }
    if manager.aggregation == "attention":
        weights |= {"W_att": manager.W_a, "v_att": manager.v[:, 0]}
    return {name: value.numpy() for name, value in weights.items()}
