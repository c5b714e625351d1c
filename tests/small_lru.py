"""A small Leap Recurrent Unit with random weights, sessions for it, and both for the reference."""

import dataclasses

import numpy as np
import tensorflow as tf

from hln_tf.layers.leap_recurrent_unit import LeapRecurrentUnit

D, N, BATCH = 3, 4, 4


def randomised(layer, seed=0):
    """Give every weight of a layer, also those that start at zero, a random value."""
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    return layer


def make_unit(**arguments):
    """A unit with random weights; `arguments` are its own."""
    unit = LeapRecurrentUnit(N, **arguments)
    unit.build(tf.TensorShape([None, None, D]))
    return randomised(unit)


def weights_of(cell):
    """A cell's weights as the reference takes them, in float64."""
    weights = {
        "kernel": cell.kernel,
        "recurrent_kernel": cell.U,
        # Of Keras' second bias the cell has the candidate's part alone.
        "bias": np.stack([cell.bias.numpy(), np.pad(cell.c.numpy(), [2 * cell.units, 0])]),
    }
    names = []
    if cell.has_preference_gate:
        names += ["W_p", "U_p"]
    if cell.is_additive:
        names += ["w_q", "u_q"]
    if cell.is_predictive:
        names += ["theta", "alpha"]
        weights |= {"W": cell.projection()[0]}
    elif cell.is_additive:
        names += ["b"]
    weights |= {name: getattr(cell, name) for name in names}
    return {name: np.asarray(value).astype(np.float64) for name, value in weights.items()}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The arguments of a unit's call in NumPy; None where there are none."""

    x: np.ndarray
    noise: np.ndarray
    mask: np.ndarray | None = None
    a: np.ndarray | None = None
    h_0: np.ndarray | None = None
    retained_0: np.ndarray | None = None
    available: np.ndarray | None = None

    def given(self):
        """The differentiable ones that are given, by name."""
        named = {"x": self.x, "a": self.a, "h_0": self.h_0, "available": self.available}
        return {name: value for name, value in named.items() if value is not None}


def make_inputs(time, padding="none", seed=1, is_bare=False):
    """Random inputs of 4 sessions, [4, time, ...].

    Args:
        time: Length of the sessions.
        padding: `none`; at the `end` or the `front`, of random length; in the `middle`, at random
            steps; `all` steps.
        seed: Of the random values.
        is_bare: Whether there are item embeddings alone, without aggregate, initial state and
            clicks that must be skipped.
    """
    random = np.random.default_rng(seed)
    steps, count = np.arange(time), random.integers(0, time, BATCH)[:, None]
    inputs = Inputs(
        x=random.normal(size=(BATCH, time, D)),
        noise=random.logistic(size=(BATCH, time)),
        mask={
            "none": None,
            "end": steps < time - count,
            "front": steps >= count,
            "middle": random.random((BATCH, time)) < 0.6,
            "all": np.zeros((BATCH, time), bool),
        }[padding],
    )
    if is_bare:
        return inputs
    return dataclasses.replace(
        inputs,
        a=random.normal(size=(BATCH, N)),
        h_0=random.normal(size=(BATCH, N)),
        retained_0=np.array([0.0, 1.0, 0.3, 2.0])[:BATCH],
        available=(random.random((BATCH, time)) < 0.75).astype(float),
    )
