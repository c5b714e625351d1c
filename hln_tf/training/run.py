"""A whole run: training, the choice of the model, its test and its export."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf import files
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_split
from hln_tf.errors import UsageError
from hln_tf.export import export
from hln_tf.models.base import SessionEncoder, SessionScorer
from hln_tf.recommender import Recommender
from hln_tf.training.evaluation import describe, evaluate
from hln_tf.training.events import Events
from hln_tf.training.interrupt import StopOnSignal
from hln_tf.training.settings import RunConfig
from hln_tf.training.trainer import Trainer
from hln_tf.workdir import METRICS, Workdir


def train_and_evaluate(config: RunConfig, workdir: Workdir, data_dir: Path) -> dict[str, Any]:
    """Runs what a config says, from wherever its workdir stands.

    Validation chooses the epoch; with `refit`, a fresh model is then trained on
    all of train for as many epochs. The test split is ranked once, by the model
    that is chosen, and the model is exported.

    Args:
      config: The run.
      workdir: Its directory, which the caller has locked and begun.
      data_dir: The data set.

    Returns:
      The content of `metrics.json`.

    Raises:
      TrainingInterrupt: A signal asked to stop; the state is saved.
      HlnError: The data, a saved state or the loss is unusable.
    """
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    stop = StopOnSignal()
    train, validation = read_split(data_dir, "train"), read_split(data_dir, "validation")
    everything = train + validation
    counted = everything if config.training.refit else train
    started = time.monotonic()
    model = new_model(config, workdir, counted)
    results: dict[str, Any] = {
        "model": config.model,
        "dataset": config.data.dataset,
        "trained_on": "train+validation" if config.training.refit else "train",
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
    }
    if isinstance(model, SessionEncoder):
        model, history = _train(config, workdir, model, train, validation, stop)
        results |= history
    workdir.save_model(model)
    batch_size, max_length = config.training.evaluation_batch_size, config.training.max_length
    if "validation" not in results and not config.training.refit:
        held_out = Prefixes.of(validation, max_length)
        results["validation"] = evaluate(model, held_out, batch_size, "validation", stop)
    test = Prefixes.of(read_split(data_dir, "test"), max_length)
    tested = time.monotonic()
    results["test"] = evaluate(model, test, batch_size, "test", stop) | {"prefixes": len(test)}
    print(f"test: {describe(results['test'])}", file=sys.stderr)
    version = export(Recommender(model, workdir.vocabulary(), max_length), workdir.path / "export")
    print(f"exported {version}", file=sys.stderr)
    results["timing"] = {
        **results.get("timing", {}),
        "test_seconds": time.monotonic() - tested,
        "total_seconds_of_last_start": time.monotonic() - started,
    }
    files.write_json(workdir.path / METRICS, results)
    return results


def _train(
    config: RunConfig,
    workdir: Workdir,
    model: SessionEncoder,
    train: Sessions,
    validation: Sessions,
    stop: StopOnSignal,
) -> tuple[SessionEncoder, dict[str, Any]]:
    """Trains, and trains afresh on everything where the config says so."""
    settings = config.training
    prefixes = Prefixes.of(train, settings.max_length)
    held_out = Prefixes.of(validation, settings.max_length)
    path, events = workdir.path, Events(workdir.path / "events")
    progress = Trainer(
        model, settings, prefixes, held_out, settings.epochs, path / "selection", events, stop
    ).run()
    best = progress.best_epoch or 0
    results: dict[str, Any] = {
        "best_epoch": best + 1,
        "history": progress.history,
        "validation": {
            name: value for name, value in progress.history[best].items() if "@" in name
        },
        "timing": {"training_seconds": progress.seconds},
    }
    if not settings.refit:
        return model, results
    everything = train + validation
    refit = new_model(config, workdir, everything)
    prefixes = Prefixes.of(everything, settings.max_length)
    progress = Trainer(
        refit,
        settings,
        prefixes,
        None,
        best + 1,
        path / "refit",
        Events(path / "events" / "refit"),
        stop,
        label="refit epoch",
    ).run()
    results["refit_history"] = progress.history
    results["timing"]["refit_seconds"] = progress.seconds
    return refit, results


def new_model(config: RunConfig, workdir: Workdir, counted: Sessions) -> SessionScorer:
    """A model with fresh weights, or those of `init_from`, and the items' counts."""
    keras.utils.set_random_seed(config.training.seed)
    model = config.create_model()
    model(tf.ones([1, 2], tf.int32))
    if config.init_from:
        _carry_over(Workdir(config.init_from), config, model, workdir.vocabulary())
    model.learn_counts(counted)
    return model


def _carry_over(
    older: Workdir, config: RunConfig, model: SessionScorer, vocabulary: list[str]
) -> None:
    """Gives a model the weights of an older one; item vectors follow the raw ids."""
    old = older.config()
    if not isinstance(model, SessionEncoder):
        raise UsageError(f"--init_from does not apply to {config.model}: it has no weights")
    if (old.model, old.model_settings) != (config.model, config.model_settings):
        raise UsageError(
            f"--init_from {older.path} holds {old.model} with {old.model_settings}, expected "
            f"{config.model} with {config.model_settings}: give the same model settings"
        )
    old_model = older.model()
    old_rows = {raw_id: row for row, raw_id in enumerate(older.vocabulary())}
    vectors, old_vectors = model.X.numpy(), old_model.X.numpy()
    for row, raw_id in enumerate(vocabulary):
        if raw_id in old_rows:
            vectors[row] = old_vectors[old_rows[raw_id]]
    for weight, old_weight in zip(
        model.trainable_variables, old_model.trainable_variables, strict=True
    ):
        weight.assign(vectors if weight is model.X else old_weight)
