"""The weights of rules by their definition, with loops over all pairs of clicks of a session."""

import math

import numpy as np

WEIGHTS = {
    "same": lambda i: 1.0,
    "linear": lambda i: max(1.0 - 0.1 * i, 0.0),
    "div": lambda i: 1.0 / i,
    "log": lambda i: 1.0 / math.log10(i + 1.7),
    "quadratic": lambda i: 1.0 / (i * i),
}


def association_rules(sessions, num_items):
    """Count the pairs of different clicks of a session, [first item, second item]."""
    rules = np.zeros((num_items, num_items))
    for session in sessions:
        for x, first in enumerate(session):
            for y, second in enumerate(session):
                if x != y:
                    rules[first - 1, second - 1] += 1
    return rules


def sequential_rules(sessions, num_items, window, weighting):
    """Weigh the pairs of a click and one of the next `window`, [first item, second item]."""
    rules = np.zeros((num_items, num_items))
    for session in sessions:
        for x, second in enumerate(session):
            for i in range(1, min(window, x) + 1):
                rules[session[x - i] - 1, second - 1] += WEIGHTS[weighting](i)
    return rules


def popularity_order(sessions, num_items):
    """Columns of the items from the least to the most popular, of equal ones the later first."""
    clicks = [sum(session.count(item) for session in sessions) for item in range(1, num_items + 1)]
    return sorted(range(num_items), key=lambda column: (clicks[column], -column))


def assert_scores(scores, weights, sessions):
    """Check one session's scores against the weights of the items by the definition.

    Items with a weight have it, up to float32, and equal weights are in the order of popularity;
    those without have scores below 0, in that order.
    """
    order = popularity_order(sessions, len(weights))
    has_weight = weights > 0
    np.testing.assert_allclose(scores[has_weight], weights[has_weight], rtol=1e-5)
    assert np.all((scores[~has_weight] >= -1) & (scores[~has_weight] < 0))
    expected = sorted(range(len(weights)), key=lambda c: (round(weights[c], 9), order.index(c)))
    np.testing.assert_array_equal(np.argsort(scores, kind="stable"), expected)
