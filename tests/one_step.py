"""One training step of a model in plain NumPy, in float64, sharing no code with the package.

A model's own test passes its equations, for one session; the losses over sampled negatives, the
gradient by differences and the optimisers' first step are here.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import reference
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.registry import MODELS
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

NUM_ITEMS = 8
# Padded before, after and between the clicks; items 1 and 8 are in no session.
ITEMS = np.array(
    [[0, 3, 2, 3, 0], [5, 5, 0, 0, 0], [0, 0, 0, 0, 6], [2, 0, 4, 6, 2], [2, 4, 2, 4, 3]], np.int32
)
TARGET = np.array([4, 2, 7, 3, 2], np.int32)
SESSIONS = [row[row > 0] - 1 for row in ITEMS]
# By popularity, items 1 and 8 are sampled least.
COUNTED = [[2, 3, 4, 5], [6, 7, 2, 3], [4, 5, 6, 1], [2, 3, 7]]


def log_sigmoid(x):
    return -np.logaddexp(0.0, -np.asarray(x, np.float64))


def pairwise_loss(name, scores, target, negatives, penalty=0.0):
    """The loss of one row; `scores` are of all items, `negatives` are the sampled items."""
    r_i, r_j = scores[target], np.array([scores[j] for j in negatives if j != target])
    if len(r_j) == 0:
        return 0.0
    if name == "bpr":
        return -np.mean(log_sigmoid(r_i - r_j))
    if name == "bpr_adaptive":
        return -log_sigmoid(r_i - np.max(r_j))
    if name == "top1":
        return np.mean(reference.sigmoid(r_j - r_i) + reference.sigmoid(r_j**2))
    if name == "binary":
        return -log_sigmoid(r_i) - np.mean(log_sigmoid(-r_j))
    if name == "bpr_max":
        log_weight = reference.log_softmax(r_j)
        likelihood = np.logaddexp.reduce(log_weight + log_sigmoid(r_i - r_j))
        return -likelihood + penalty * np.sum(np.exp(log_weight) * r_j**2)
    raise ValueError(f"unknown loss {name!r}")


def sampled_loss(scores, target, negatives, q):
    """Cross-entropy of the target against sampled negatives, with log-q correction."""
    corrected = [scores[j] - np.log(len(negatives) * q[j]) for j in negatives if j != target]
    return -reference.log_softmax([scores[target], *corrected])[0]


def central_differences(function, weights, step=1e-5):
    """The gradient of a function of arrays by name, one entry at a time."""
    gradients = {}
    for name, array in weights.items():
        gradients[name] = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            array[place] = value + step
            above = function(weights)
            array[place] = value - step
            gradients[name][place] = (above - function(weights)) / (2 * step)
            array[place] = value
    return gradients


def after_first_step(weight, gradient, training, read):
    """A weight after the optimiser's first step.

    Args:
        weight: [...].
        gradient: [...], of the loss alone.
        training: The settings of the training.
        read: The rows that the step reads, the only ones that may move; None for all.
    """
    rows = np.ones(weight.shape, bool)
    if read is not None:
        rows[:] = False
        rows[sorted(read)] = True
    gradient = gradient + training.l2 * weight
    direction = {
        "sgd": gradient,
        # The sum of squares is that of this gradient.
        "adagrad": gradient / (np.abs(gradient) + training.epsilon),
        # The bias correction leaves the moments' estimates g and g ** 2; Keras adds epsilon to the
        # uncorrected root.
        "adam": gradient / (np.abs(gradient) + training.epsilon / np.sqrt(1 - 0.999)),
    }[training.optimizer]
    return np.where(rows, weight - training.learning_rate * direction, weight)


class Case(NamedTuple):
    """A small model with random weights, and how its preset trains it."""

    model: object
    training: TrainingSettings


def make_case(name, preset="paper", training=None, **settings):
    """A case of a preset; `settings` are the model's, `training` those of the training."""
    entry = MODELS[name]
    own = {field.name for field in dataclasses.fields(entry.settings)}
    values = entry.presets[preset]
    of_model = {key: value for key, value in values.items() if key in own} | settings
    of_training = {key: value for key, value in values.items() if key not in own}
    config = RunConfig(
        model=name,
        model_settings=entry.settings(**of_model),
        training=TrainingSettings(**of_training | (training or {})),
        data=DataDescription("toy", "", " ", NUM_ITEMS, "", ""),
    )
    model = config.create_model()
    model.build()
    random = np.random.default_rng(7)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.0, 0.6, weight.shape))
    model.fit_counts(Sessions.from_lists(COUNTED))
    return Case(model, config.training)


def seed_without_the_first_item(sampler):
    """A seed for which item 1 is not among the negatives."""
    return next(
        seed for seed in (tf.constant([5, n]) for n in range(100)) if 0 not in sampler(seed)
    )


def check(case, variables, query, reads=None):
    """Compare scores, loss, gradients and the weights after a step with NumPy's.

    Args:
        case: The model and its training.
        variables: All its weights by the name that `query` has for them, the item embeddings as X.
        query: From a session's items, counted from 0, and the arrays to the query embedding [d].
        reads: Rows of each table that the encoder reads, by name, where negatives are sampled: the
            step does not change any other.
    """
    model, training = case
    assert {v.ref() for v in variables.values()} == {v.ref() for v in model.trainable_variables}
    start = {name: variable.numpy().astype(np.float64) for name, variable in variables.items()}

    scores = [start["X"] @ query(session, start) for session in SESSIONS]
    np.testing.assert_allclose(model.scores(tf.constant(ITEMS)), scores, rtol=1e-4, atol=1e-5)

    target, negatives, seed = TARGET - 1, [], tf.constant([5, 0])
    if training.loss != "softmax":
        sampler = model.retrieval_loss.negatives
        seed = seed_without_the_first_item(sampler)
        negatives = sampler(seed).numpy()
    clicks = np.bincount(np.concatenate(COUNTED), minlength=NUM_ITEMS + 1)[1:]
    q = (1.0 + clicks) ** training.sampling_power
    q /= q.sum()

    def loss(weights):
        losses = []
        for session, t in zip(SESSIONS, target, strict=True):
            scores = weights["X"] @ query(session, weights)
            if training.loss == "softmax":
                losses.append(-reference.log_softmax(scores)[t])
            elif training.loss == "sampled":
                losses.append(sampled_loss(scores, t, negatives, q))
            else:
                penalty = training.score_penalty
                losses.append(pairwise_loss(training.loss, scores, t, negatives, penalty))
        return np.mean(losses)

    items = tf.constant(ITEMS)
    batch = {"items": items, "target": tf.constant(TARGET), "seed": seed}
    with tf.GradientTape() as tape:
        found = model.compute_loss(batch, training=True)
    np.testing.assert_allclose(found, loss(start), rtol=1e-5)
    expected = central_differences(loss, start)
    gradients = tape.gradient(found, list(variables.values()))
    for name, gradient in zip(variables, gradients, strict=True):
        assert np.abs(expected[name]).max() > 1e-4, name
        np.testing.assert_allclose(
            tf.convert_to_tensor(gradient), expected[name], rtol=1e-3, atol=1e-6, err_msg=name
        )

    step = compile_step(model, make_optimizer(training), keras.metrics.Mean())
    step(items, batch["target"], seed)
    reads = {name: {*rows} for name, rows in (reads or {}).items()}
    if "X" in reads:
        reads["X"] |= {*target} | {*negatives}
    for name, variable in variables.items():
        after = after_first_step(start[name], expected[name], training, reads.get(name))
        np.testing.assert_allclose(variable, after, rtol=1e-5, atol=1e-5, err_msg=name)
        if name in reads:
            np.testing.assert_array_equal(variable[0], start[name][0])
