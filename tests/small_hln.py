"""A small HLN with weights drawn at random, and its weights as the NumPy reference takes them."""

import numpy as np
import tensorflow as tf

from hln_tf.models.hln import HLN
from hln_tf.models.settings import HLNSettings

NUM_ITEMS, D, N, L = 12, 4, 5, 3


def make_model(loss="softmax", seed=1, num_items=NUM_ITEMS, **settings):
    """A model with every weight, also those that start at zero, drawn at random."""
    settings = {"embedding_dim": D, "hidden_dim": N, "num_groups": L, **settings}
    model = HLN(num_items, HLNSettings(**settings), loss)
    model(tf.ones([1, 1], tf.int32))
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return model


def weights_of(model):
    unit, manager = model.leap_recurrent_unit, model.preference_manager
    weights = {
        "W_p": unit.W_p,
        "U_p": unit.U_p,
        "w_q": unit.cell.w_q,
        "u_q": unit.u_q,
        "b": unit.b,
        "kernel": unit.kernel,
        "recurrent_kernel": unit.cell.U,
        "bias": tf.stack([unit.bias, tf.pad(unit.cell.c, [[2 * unit.cell.units, 0]])]),
        "W": model.W,
    }
    if manager.aggregation == "attention":
        weights |= {"W_att": manager.W_a, "v_att": manager.v[:, 0]}
    return {name: value.numpy() for name, value in weights.items()}
