"""The choices that layers, tasks and metrics offer their callers. Imports no TensorFlow.

The settings of models and trainings offer the same values; here they are declared once.
"""

from typing import Any

import numpy as np

# The gate at inference: by its probability against 1/2, the probability itself, or sampled.
INFERENCE_GATES = ("hard", "expected", "sampled")
# The paper's two gates, the leap gate alone, or none.
GATES = ("both", "leap", "none")
# The leap logit: eq. 2; less the score that the preference gives the click; or both terms.
LEAP_GATES = ("additive", "predictive", "combined")
AGGREGATIONS = ("sum", "max", "attention", "recency")

# The last click's own path into the query: none, each entry by a weight, or all by a matrix.
LAST_CLICKS = ("none", "scaled", "projected")

# Of clicks by their distance: alike, or less the farther they are.
WEIGHTINGS = ("same", "linear", "div", "log", "quadratic")

# Losses: over the catalogue, against sampled negatives or the batch's targets, and pairwise.
LOSSES = (
    "softmax",
    "equation_8",
    "sampled",
    "in_batch",
    "bpr",
    "bpr_adaptive",
    "bpr_max",
    "top1",
    "binary",
)
# Of training steps: one operation after another, or programs that XLA compiles.
GRAPH, XLA = EXECUTIONS = ("graph", "xla")

# Of the factors of the full softmax's products.
PRECISIONS = ("float32", "bfloat16")

# Embeddings below this length are not normalised to length 1.
SHORTEST = 0.1

# Megabytes of scores that are counted or searched at a time: about a core's cache.
SCORE_MEGABYTES = 8


def checked_count(name: str, value: Any) -> int:
    """Return an argument that counts something as an int.

    Raises:
      ValueError: It is no integer or below 1.
    """
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1, received {value!r}")
    return int(value)
