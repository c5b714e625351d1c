"""The search space, read off the settings' own declarations."""

import dataclasses
from typing import Any

from hln_tf.settings import Range


def draw(hyperparameters: Any, settings: Any) -> Any:
    """Replaces every searched field of a settings object by a drawn value.

    Args:
      hyperparameters: `keras_tuner.HyperParameters`; the first trial draws the
        fields' present values.
      settings: A settings dataclass, whose fields name their `search` ranges.

    Returns:
      Settings of the same class.
    """
    drawn = {}
    for field in dataclasses.fields(settings):
        search, default = field.metadata.get("search"), getattr(settings, field.name)
        if isinstance(search, Range):
            sampling = "log" if search.log else "linear"
            drawn[field.name] = hyperparameters.Float(
                field.name, search.low, search.high, sampling=sampling, default=default
            )
        elif search is not None:
            values = sorted({*search, default}, key=[*search, default].index)
            drawn[field.name] = hyperparameters.Choice(field.name, values, default=default)
    return dataclasses.replace(settings, **drawn)
