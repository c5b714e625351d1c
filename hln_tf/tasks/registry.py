"""Losses by the names that settings and configs have for them."""

import inspect
from typing import Any

import tf_keras as keras

from hln_tf.tasks.in_batch import InBatchSoftmax
from hln_tf.tasks.loss import RetrievalLoss
from hln_tf.tasks.sampled import (
    BPR,
    TOP1,
    AdaptiveBPR,
    BinaryCrossEntropy,
    BPRMax,
    SampledSoftmax,
)
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
    "binary": BinaryCrossEntropy,
}


def get(identifier: Any, **settings: Any) -> RetrievalLoss:
    """Return a loss by its name, from its Keras config, or as it is.

    The names are `softmax` (`FullSoftmax`), `equation_8` (`Equation8`), `sampled`
    (`SampledSoftmax`), `in_batch` (`InBatchSoftmax`), `bpr` (`BPR`), `bpr_adaptive`
    (`AdaptiveBPR`), `bpr_max` (`BPRMax`), `top1` (`TOP1`) and `binary`
    (`BinaryCrossEntropy`).

    Args:
      identifier: A name, a loss, or its config as
        `keras.saving.serialize_keras_object` makes it.
      **settings: Values by the arguments' names, for a loss by name, which takes
        those that it has.

    Raises:
      ValueError: There is no such loss.

    Example:
    >>> get("sampled", num_negatives=64, precision="float32").negatives.num_negatives
    64
    """
    found = identifier
    if isinstance(identifier, dict):
        try:
            found = keras.saving.deserialize_keras_object(identifier)
        except (TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise ValueError(
                f"`loss` is a dictionary, expected a loss' config as "
                f"keras.saving.serialize_keras_object makes it ({reason}): pass that, a "
                f"RetrievalLoss or a name"
            ) from None
    if isinstance(found, RetrievalLoss):
        return found
    if not isinstance(identifier, str) or identifier not in _BY_NAME:
        raise ValueError(
            f"`loss` must be a RetrievalLoss or one of {tuple(_BY_NAME)}, received {identifier!r}"
        )
    loss = _BY_NAME[identifier]
    known = _arguments(loss)
    return loss(**{name: value for name, value in settings.items() if name in known})


def losses_with(argument: str) -> list[str]:
    """List the names of the losses' classes whose constructors have an argument."""
    return [
        loss.__name__
        for loss in _BY_NAME.values()
        if argument in _arguments(loss) and argument != "kwargs"
    ]


def _arguments(loss: type[RetrievalLoss]) -> list[str]:
    """List the arguments of a loss' constructor.

    They are those of `__init__`: for a class that inherits it early releases of Python
    3.11 give the signature of the layers' `__new__`.
    """
    return list(inspect.signature(loss.__init__).parameters)[1:]
