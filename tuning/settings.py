"""The settings of a search. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, declared_fields, documented, from_dict, setting

TUNERS = ("bayesian", "hyperband", "random")
_BY_TRIALS = {"tuner": ("bayesian", "random")}
_BY_EPOCHS = {"tuner": ("hyperband",)}


@documented
@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """Settings of the search algorithm."""

    tuner: str = setting("bayesian", "search algorithm", choices=TUNERS)
    max_trials: int = setting(
        10, "number of trials, with bayesian and random", minimum=1, applies=_BY_TRIALS
    )
    max_epochs: int | None = setting(
        None,
        "epochs of the longest trials, with hyperband; None for epochs of the training",
        minimum=1,
        applies=_BY_EPOCHS,
    )
    factor: int = setting(
        3,
        "reduction factor: one in FACTOR trials is promoted, with hyperband",
        minimum=2,
        applies=_BY_EPOCHS,
    )
    iterations: int = setting(
        1, "repetitions of the whole algorithm, with hyperband", minimum=1, applies=_BY_EPOCHS
    )
    median_stopping: bool = setting(
        False,
        "stop a trial after an epoch by which its best validation MRR@20 is below the median of "
        "those of earlier trials by the same epoch",
        applies=_BY_TRIALS,
    )

    def __post_init__(self) -> None:
        checked(self)


# What may change when a search is resumed: they extend it.
EXTENSIBLE = ("max_trials", "iterations")


def fixed_settings(settings: SearchSettings) -> tuple[str, ...]:
    """Return the settings of a training that the algorithm itself sets."""
    return ("epochs",) if settings.tuner == "hyperband" else ()


def search_settings(values: Mapping[str, Any], epochs: int) -> SearchSettings:
    """Build the settings of a search from those that are given.

    Args:
      values: Fields of `SearchSettings` by name.
      epochs: Epochs of the training, the default of `max_epochs`.

    Raises:
      UsageError: A setting is unknown or does not apply, or a value is not allowed.
    """
    settings = from_dict(SearchSettings, values, "the search")
    for field in declared_fields(SearchSettings):
        tuners = field.metadata["applies"].get("tuner", TUNERS)
        if field.name in values and settings.tuner not in tuners:
            own = [
                f"`{each.name}`"
                for each in declared_fields(SearchSettings)
                if settings.tuner in each.metadata["applies"].get("tuner", ())
            ]
            raise UsageError(
                f"`{field.name}` does not apply to `tuner` {settings.tuner}: give {', '.join(own)}"
            )
    if settings.tuner == "hyperband" and settings.max_epochs is None:
        return dataclasses.replace(settings, max_epochs=epochs)
    return settings
