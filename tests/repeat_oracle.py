"""The mixture of two softmaxes item by item in float64, from its definition alone."""

import math

import numpy as np


def mixture(scores, session, attention, gate):
    """The probability of every item.

    Args:
      scores: [items], of all items.
      session: The items of the clicks, from 1, without padding.
      attention: [clicks], which sums to 1.
      gate: The probability that the next item is in the session.
    """
    own, everything = set(session), range(1, len(scores) + 1)
    others = [item for item in everything if item not in own]
    gate = 0.0 if not own else 1.0 if not others else gate
    partition = sum(math.exp(scores[item - 1]) for item in others)
    return np.array(
        [
            gate * sum(a for a, click in zip(attention, session, strict=True) if click == item)
            if item in own
            else (1 - gate) * math.exp(scores[item - 1]) / partition
            for item in everything
        ]
    )


def head(weights, x, query):
    """The attention to the clicks of a session, [clicks], and the gate, by the layer's equations.

    Args:
      weights: The weights by name.
      x: [clicks, d], item embeddings, without padding.
      query: [d].
    """
    places = [min(len(x) - 1 - t, len(weights["P"]) - 1) for t in range(len(x))]
    e = np.stack(
        [
            np.tanh(weights["W_x"] @ x_t + weights["W_q"] @ query + weights["P"][place])
            for x_t, place in zip(x, places, strict=True)
        ]
    )
    energy = np.exp(e @ weights["v"][:, 0])
    attention = energy / energy.sum()
    logit = np.concatenate([attention @ e, query]) @ weights["w"][:, 0] + weights["b"]
    return attention, 1 / (1 + math.exp(-logit))


def smoothed_loss(probabilities, target, smoothing):
    """The cross-entropy of a target, from 0, smoothed evenly over all items."""
    logs = np.log(probabilities)
    return -(1 - smoothing) * logs[target] - smoothing * logs.mean()
