"""Ensembles of finished runs, and the weight between them that validation prefers."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.layers.catalogue_scores import target_ranks
from hln_tf.metrics.of_ranks import means_of_ranks
from hln_tf.models.base import SessionScorer
from hln_tf.models.ensemble import Ensemble, probabilities
from hln_tf.models.graphs import ITEMS, TARGET, compiled
from hln_tf.training.ranking import batches_by_length
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import OBJECTIVE

# The weights of the other runs that are compared on validation.
WEIGHTS = tuple(step / 20 for step in range(21))


def load_models(runs: Sequence[RunDirectory]) -> list[SessionScorer]:
    """Load the models of runs that score the same items for the same clicks.

    Args:
      runs: Finished runs.

    Raises:
      HlnError: A run is not finished, or differs from the first in its items or in how
        many clicks it uses.
    """
    first, *others = (run.config() for run in runs)
    for run, config in zip(runs[1:], others, strict=True):
        if config.data.vocabulary_sha256 != first.data.vocabulary_sha256:
            raise HlnError(
                f"{run.path} has other items than {runs[0].path}: name runs of one data set"
            )
        if config.training.max_length != first.training.max_length:
            raise HlnError(
                f"{run.path} uses {config.training.max_length} clicks of a session and "
                f"{runs[0].path} {first.training.max_length}: train both with one `max_length`"
            )
    return [run.model() for run in runs]


def check_validation_unseen(runs: Sequence[RunDirectory]) -> None:
    """Check that no run was trained on the validation part, by which a weight is chosen.

    Args:
      runs: Finished runs.

    Raises:
      HlnError: One was.
    """
    for run in runs:
        trained_on = (run.metrics() or {}).get("trained_on", "train")
        if trained_on != "train":
            raise HlnError(
                f"{run.path} is trained on {trained_on}, so validation cannot choose "
                f"`ensemble_weight`: train it with --no-refit, or give a number as the weight"
            )


def shares_of(weight: float, models: int) -> list[float]:
    """Return the share of each model: all but the first one have `weight` together."""
    return [1 - weight, *[weight / (models - 1)] * (models - 1)]


def validate_weights(
    models: Sequence[SessionScorer],
    prefixes: Prefixes,
    batch_size: int,
    stop: StopOnSignal,
) -> dict[float, float]:
    """Compute the validation MRR@20 of an ensemble with each of `WEIGHTS`, see `shares_of`.

    Args:
      models: Two or more models.
      prefixes: The examples of the validation part.
      batch_size: Examples ranked at a time.
      stop: Checked after every batch.

    Returns:
      MRR@20 by weight, as fractions of 1.

    Raises:
      TrainingInterrupt: A signal arrived.
    """
    first, *others = models
    both = Ensemble(models)

    def ranks(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        mean = tf.add_n([probabilities(model, items) for model in others]) / len(others)
        of_first = probabilities(first, items)
        mixed = ((1 - weight) * of_first + weight * mean for weight in WEIGHTS)
        return tf.stack([target_ranks(scores, target - 1) for scores in mixed])

    step = compiled(ranks, [ITEMS, TARGET], both)
    found = np.empty((len(WEIGHTS), len(prefixes)), np.int32)
    for chosen, batch in batches_by_length(prefixes, batch_size, "weight", stop):
        found[:, chosen] = step(batch["items"], batch["target"])
    return {
        weight: means_of_ranks(row, [20])[OBJECTIVE]
        for weight, row in zip(WEIGHTS, found, strict=True)
    }
