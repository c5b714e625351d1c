"""A whole run: training, the choice of the model, its test and its export."""

import dataclasses
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.common import files
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.layout import SPLITS
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.export.model_card import describe_run
from hln_tf.export.saved_model import export
from hln_tf.models.base import SessionEncoder, SessionScorer
from hln_tf.recommender import Recommender
from hln_tf.training.distribution import Workers
from hln_tf.training.evaluation import describe, evaluate
from hln_tf.training.hparams import RESULTS, HParamsLogger, record_metrics
from hln_tf.training.run_directory import METRICS, RunDirectory, origin
from hln_tf.training.settings import RunConfig, TensorBoardSettings
from hln_tf.training.tensorboard import TensorBoardLogger
from hln_tf.training.trainer import Trainer


def train_and_evaluate(
    config: RunConfig,
    workdir: RunDirectory,
    data_dir: Path,
    workers: Workers,
    told: TensorBoardSettings,
) -> dict[str, Any]:
    """Runs what a config says, from wherever its workdir stands.

    Validation chooses the epoch; with `refit`, a fresh model is then trained on
    all of train for as many epochs. The test split is ranked once, by the model
    that is chosen, and the model is exported.

    Args:
      config: The run.
      workdir: Its directory, which the caller has locked and begun.
      data_dir: The data set.
      workers: The workers that train together; the chief alone writes.
      told: What TensorBoard is told.

    Returns:
      The content of `metrics.json`; nothing on workers other than the chief.

    Raises:
      TrainingInterrupt: A signal asked to stop; the state is saved.
      HlnError: The data, a saved state or the loss is unusable.
    """
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    told = TensorBoardSettings(**workers.broadcast_object(dataclasses.asdict(told)))
    started, settings = time.monotonic(), config.training
    train, validation, test = (read_sessions(data_dir, split) for split in SPLITS)
    with StopOnSignal(workers.all_reduce_max) as stop:
        model, results = select(config, workdir, train, validation, stop, workers, told)
        if settings.refit:
            everything, epochs = train + validation, results.get("best_epoch")
            model, refit_results = refit(config, workdir, everything, epochs, stop, workers, told)
            results |= refit_results
        prefixes = Prefixes.from_sessions(test, settings.max_length)
        ranked = evaluate(model, prefixes, settings.evaluation_batch_size, "test", stop)
    if not workers.is_chief:
        return {}
    print(f"test: {describe(ranked)}", file=sys.stderr)
    record_metrics(workdir.events(RESULTS), "test", ranked)
    workdir.save_model(model)
    seconds = {name: results.pop(name) for name in list(results) if name.endswith("_seconds")}
    content = {
        "model": config.model,
        "dataset": config.data.dataset,
        "trained_on": "train+validation" if settings.refit else "train",
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
        "sessions": {
            name: len(split) for name, split in zip(SPLITS, (train, validation, test), strict=True)
        },
        **results,
        "test": ranked | {"prefixes": len(prefixes)},
        "timing": seconds | {"seconds_since_last_start": time.monotonic() - started},
    }
    # What is there was left by a run that was killed before it was finished.
    shutil.rmtree(workdir.path / "export", ignore_errors=True)
    exported = export(
        Recommender.from_run(workdir, model), workdir.path / "export", describe_run(config, content)
    )
    print(f"exported {exported}", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6
    content["timing"]["peak_memory_megabytes"] = peak
    if "training_seconds" in seconds:
        speed = results["training_sequences"] / seconds["training_seconds"]
        print(f"trained {speed:,.0f} sequences/s; at most {peak:,} MB of memory", file=sys.stderr)
    # Declares the run finished, so it comes last.
    files.write_json(workdir.path / METRICS, content)
    return content


def select(
    config: RunConfig,
    workdir: RunDirectory,
    train: Sessions,
    validation: Sessions,
    stop: StopOnSignal,
    workers: Workers | None = None,
    told: TensorBoardSettings | None = None,
) -> tuple[SessionScorer, dict[str, Any]]:
    """Trains a model, its epoch chosen by validation.

    Args:
      config: The run.
      workdir: Its directory.
      train: Sessions to train on.
      validation: Sessions to choose by.
      stop: Says when to stop.
      workers: The workers that train together; this process alone by default.
      told: What TensorBoard is told; scalars and HParams by default.

    Returns:
      The model with its best weights, and what is known of its training.

    Raises:
      TrainingInterrupt: `stop` asked for it; the state is saved.
      HlnError: A saved state or the loss is unusable.
    """
    workers, told = workers or Workers(), told or TensorBoardSettings()
    with HParamsLogger(workdir.events(RESULTS) if workers.is_chief else None, config) as record:
        model, results = _select(config, workdir, train, validation, stop, workers, told)
        record.metrics("validation", results["validation"])
    return model, results


def _select(
    config: RunConfig,
    workdir: RunDirectory,
    train: Sessions,
    validation: Sessions,
    stop: StopOnSignal,
    workers: Workers,
    told: TensorBoardSettings,
) -> tuple[SessionScorer, dict[str, Any]]:
    settings = config.training
    model = new_model(config, workdir, train, workers)
    held_out = Prefixes.from_sessions(validation, settings.max_length)
    if not isinstance(model, SessionEncoder):
        ranked = evaluate(model, held_out, settings.evaluation_batch_size, "validation", stop)
        return model, {"validation": ranked}
    prefixes = Prefixes.from_sessions(train, settings.max_length)
    directory = workdir.events("selection") if workers.is_chief else None
    with make_events(
        directory, told, config, validation, "validation", workdir, told.profile_range()
    ) as events:
        progress = Trainer(
            model,
            settings,
            prefixes,
            held_out,
            settings.epochs,
            workdir.path / "selection",
            events,
            stop,
            workers,
        ).run()
        events.finish(model)
    assert progress.best_epoch is not None, "a training with validation has a best epoch"
    best = progress.history[progress.best_epoch]
    return model, {
        "best_epoch": progress.best_epoch + 1,
        "history": progress.history,
        "validation": {name: value for name, value in best.items() if "@" in name},
        "training_sequences": len(prefixes) * len(progress.history),
        "training_seconds": progress.seconds,
    }


def refit(
    config: RunConfig,
    workdir: RunDirectory,
    everything: Sessions,
    epochs: int | None,
    stop: StopOnSignal,
    workers: Workers,
    told: TensorBoardSettings,
) -> tuple[SessionScorer, dict[str, Any]]:
    """Trains a model afresh on all of train.

    Args:
      config: The run.
      workdir: Its directory.
      everything: Sessions of train and validation.
      epochs: Epochs that validation chose; None for a model that only counts.
      stop: Says when to stop.
      workers: The workers that train together.
      told: What TensorBoard is told.

    Returns:
      The model with its last weights, and what is known of its training.

    Raises:
      TrainingInterrupt: `stop` asked for it; the state is saved.
      HlnError: A saved state or the loss is unusable.
    """
    settings = config.training
    model = new_model(config, workdir, everything, workers)
    if not isinstance(model, SessionEncoder) or epochs is None:
        return model, {}
    directory = workdir.events("refit") if workers.is_chief else None
    with make_events(directory, told, config, everything, "train", workdir) as events:
        progress = Trainer(
            model,
            settings,
            Prefixes.from_sessions(everything, settings.max_length),
            None,
            epochs,
            workdir.path / "refit",
            events,
            stop,
            workers,
            label="refit epoch",
        ).run()
        events.finish(model)
    return model, {"refit_history": progress.history, "refit_seconds": progress.seconds}


def make_events(
    directory: Path | None,
    told: TensorBoardSettings,
    config: RunConfig,
    watched: Sessions,
    part: str,
    workdir: RunDirectory,
    profile: tuple[int, int] | None = None,
) -> TensorBoardLogger:
    """The logger of a training; see `TensorBoardLogger` and `TensorBoardDiagnostics`."""
    if not told.tensorboard:
        return TensorBoardLogger(directory, profile)
    from hln_tf.training.diagnostics import TensorBoardDiagnostics

    return TensorBoardDiagnostics(directory, config, watched, part, workdir.vocabulary, profile)


def new_model(
    config: RunConfig, workdir: RunDirectory, counted: Sessions, workers: Workers
) -> SessionScorer:
    """A model with fresh weights, or those of `init_from`, and the items' counts."""
    keras.utils.set_random_seed(config.training.seed)
    with workers.strategy.scope():
        model = config.create_model()
        model(tf.ones([1, 2], tf.int32))
    if config.init_from and isinstance(model, SessionEncoder):
        if workers.is_chief:
            _carry_over(origin(config), model, workdir.vocabulary())
        workers.broadcast_variables(model.trainable_variables)
    model.fit_counts(counted)
    return model


def _carry_over(older: RunDirectory, model: SessionEncoder, vocabulary: list[str]) -> None:
    """Gives a model the weights of an older one; rows of items follow the raw ids."""
    old_model = older.model()
    old_rows = {raw_id: row for row, raw_id in enumerate(older.vocabulary())}
    known = [row for row, raw_id in enumerate(vocabulary) if raw_id in old_rows]
    taken = [old_rows[vocabulary[row]] for row in known]
    for weight, old_weight in zip(
        model.trainable_variables, old_model.trainable_variables, strict=True
    ):
        values = old_weight.numpy()
        if weight.ref() in model.item_tables:
            rows = weight.numpy()
            rows[known] = values[taken]
            values = rows
        weight.assign(values)
