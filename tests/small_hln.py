"""A small HLN with random weights, and its weights as the NumPy reference takes them."""

import numpy as np
import small_lru

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
        **small_lru.weights_of(cell),
        "W": model.W,
    }
    if model.settings.normalize:
        weights |= {"scale": model.scale}
    if manager.aggregation == "attention":
        weights |= {"W_att": manager.W_a, "v_att": manager.v[:, 0]}
    if manager.aggregation == "recency":
        weights |= {"r": manager.r}
    return {name: np.asarray(value) for name, value in weights.items()}
