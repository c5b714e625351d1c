"""Losses by the names that settings and configs have for them."""

import inspect
from typing import Any

import tf_keras as keras

from hln_tf.tasks.in_batch import InBatchSoftmax
from hln_tf.tasks.loss import RetrievalLoss
from hln_tf.tasks.sampled import BPR, TOP1, AdaptiveBPR, BPRMax, SampledSoftmax
from hln_tf.tasks.softmax import Equation8, FullSoftmax

# The order and the names are those of `hln_tf.layers.choices.LOSSES`.
_BY_NAME: dict[str, type[RetrievalLoss]] = {
    "softmax": FullSoftmax,
    "equation_8": Equation8,
    "sampled": SampledSoftmax,
    "in_batch": InBatchSoftmax,
    "bpr": BPR,
    "bpr_adaptive": AdaptiveBPR,
    "bpr_max": BPRMax,
    "top1": TOP1,
}


def get(identifier: Any, **settings: Any) -> RetrievalLoss:
    """Return a loss by its name, from its Keras config, or as it is.

    Args:
      identifier: A name such as `softmax` or `sampled`, the config of a serialised
        loss, or a loss.
      **settings: Values by the arguments' names, for a loss by name, which takes
        those that it has.

    Raises:
      ValueError: There is no such loss.

    Example:
    >>> get("sampled", num_negatives=64, precision="float32").negatives.num_negatives
    64
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, RetrievalLoss):
        return identifier
    if identifier not in _BY_NAME:
        raise ValueError(
            f"`loss` must be a RetrievalLoss or one of {tuple(_BY_NAME)}, received {identifier!r}"
        )
    loss = _BY_NAME[identifier]
    known = inspect.signature(loss).parameters
    return loss(**{name: value for name, value in settings.items() if name in known})
