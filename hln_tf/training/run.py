"""A training run, step by step: fit, refit, evaluate, save."""

import dataclasses
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.training.context import RunContext
from hln_tf.training.evaluation import evaluate, evaluate_sessions
from hln_tf.training.hparams import RESULTS, HParamsLogger, record_metrics
from hln_tf.training.results import (
    compose_results,
    describe,
    is_over,
    selection_results,
    unseen_targets,
)
from hln_tf.training.run_directory import RunDirectory, warm_start_run
from hln_tf.training.state import saved_progress
from hln_tf.training.tensorboard import TensorBoardLogger
from hln_tf.training.trainer import REFIT, SELECTION, Phase, Trainer

# Losses that score every item in each step, and items from which on that is slow.
FULL_LOSSES = ("softmax", "equation_8")
LARGE_CATALOGUE = 300_000


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model and the results of its training.

    Attributes:
      model: The model, with the best weights of a selection or the last of a refit.
      results: Entries of `metrics.json`: the best epoch, the history of epochs,
        the validation metrics and the like.
    """

    model: SessionScorer
    results: Mapping[str, Any]


class Run(RunContext):
    """A training run: the steps that `python -m hln_tf.train` takes, to compose in Python.

    After an interruption every step resumes from the run's checkpoint.

    Example:
    ```python
    run = Run(config, directory)
    fitted = run.fit(train, validation)  # validation chooses the epoch
    fitted = run.refit(train + validation, fitted.results)  # optional: all of full train
    run.save(fitted, run.evaluate(fitted.model, test))
    ```
    `train_and_evaluate` takes these steps as a config defines them.
    """

    def __post_init__(self) -> None:
        if self.config.training.deterministic:
            tf.config.experimental.enable_op_determinism()

    def fit(self, train: Sessions, validation: Sessions) -> Fitted:
        """Train a model; validation chooses its epoch and stops early.

        Args:
          train: Sessions to train on, or to count.
          validation: Sessions whose MRR@20 chooses the epoch.

        Returns:
          The model with its best weights.

        Raises:
          TrainingInterrupt: A signal arrived; the checkpoint is saved.
          HlnError: A checkpoint or the loss is unusable.
        """
        with HParamsLogger(self.events(RESULTS), self.config) as hparams:
            fitted = self._select(train, validation)
            hparams.metrics("validation", fitted.results["validation"])
        return fitted

    def _select(self, train: Sessions, validation: Sessions) -> Fitted:
        settings = self.config.training
        model = self.new_model(train)
        results: dict[str, Any] = {"trained_on": "train"}
        results["sessions"] = {"train": len(train), "validation": len(validation)}
        if not isinstance(model, SessionEncoder):
            return Fitted(model, results | {"validation": self._rank(model, validation)})
        saved = saved_progress(self.directory, self.workers)
        if saved is not None and saved.phase == REFIT and not self._is_over(saved.selected):
            print(
                "training from the start: a refit leaves nothing from which its selection of "
                "the epoch could go on",
                file=sys.stderr,
            )
            if self.workers.is_chief:
                self.directory.forget_training()
        elif saved is not None and saved.phase == REFIT:
            if self.workers.is_chief:
                self.directory.weights_of(model).restore()
            self.workers.broadcast_variables(model.variables)
            return Fitted(model, saved.selected)
        if settings.loss in FULL_LOSSES and self.config.data.items >= LARGE_CATALOGUE:
            print(
                f"hint: the loss {settings.loss} scores all {self.config.data.items:,} items in "
                f"each step: --loss sampled (loss='sampled') takes a few of them and is faster",
                file=sys.stderr,
            )
        phase = Phase(SELECTION, train, settings.epochs, validation)
        with self._logger(phase) as logger:
            progress = Trainer(self, model, phase, logger).run()
            logger.finish(model)
        assert progress.best_epoch is not None, "a training with validation has a best epoch"
        results |= selection_results(progress.history, progress.best_epoch, progress.seconds)
        results["training_examples"] = train.prefixes * len(progress.history)
        return Fitted(model, results)

    def _is_over(self, selected: Mapping[str, Any]) -> bool:
        """Check that a selection has all epochs that the settings now ask for."""
        settings = self.config.training
        epochs, best = len(selected["history"]), selected["best_epoch"] - 1
        return is_over(epochs, best, settings.epochs, settings.patience)

    def selected(self, train: Sessions, validation: Sessions) -> Mapping[str, Any]:
        """Return the results of a selection that another run has made, as the config has it.

        Args:
          train: The sessions to train on.
          validation: Those by which the other run chose its epoch.
        """
        selection = self.config.selection
        assert selection is not None, "the config has a selection"
        print(f"validation chose epoch {selection.epoch} in {selection.run}", file=sys.stderr)
        sessions = {"train": len(train), "validation": len(validation)}
        return {"sessions": sessions, "best_epoch": selection.epoch}

    def refit(self, sessions: Sessions, selected: Mapping[str, Any]) -> Fitted:
        """Train a new model on all of full train, for as many epochs as a selection chose.

        Args:
          sessions: Those of train and validation.
          selected: The results of the selection, of `fit` or `selected`.

        Returns:
          The new model with its last weights.

        Raises:
          TrainingInterrupt: A signal arrived; the checkpoint is saved.
          HlnError: A checkpoint or the loss is unusable.
        """
        model = self.new_model(sessions)
        results = {**selected, "trained_on": "train+validation"}
        if not isinstance(model, SessionEncoder):
            return Fitted(model, results)
        phase = Phase(REFIT, sessions, results["best_epoch"], selected=selected)
        with self._logger(phase) as logger:
            progress = Trainer(self, model, phase, logger).run()
            logger.finish(model)
        results |= {"refit_history": progress.history, "refit_seconds": progress.seconds}
        return Fitted(model, results)

    def evaluate(self, model: SessionScorer, sessions: Sessions, part: str = "test") -> Any:
        """Rank the targets of a part of the data among the whole catalogue.

        Args:
          model: The model.
          sessions: The part's sessions.
          part: Its name, for the progress bar and TensorBoard.

        Returns:
          Recall and MRR by name, as fractions of 1, and the counts `prefixes`
          and `sessions`. Targets on items without an index count as misses.
        """
        if sessions.items.all():
            metrics = self._rank(model, sessions, part)
        else:
            metrics = self._rank_with_unknown(model, sessions, part)
        print(f"{part}: {describe(metrics)}", file=sys.stderr)
        if self.workers.is_chief:
            record_metrics(self.directory.events(RESULTS), part, metrics)
        return metrics | {"prefixes": sessions.prefixes, "sessions": len(sessions)}

    def save(self, fitted: Fitted, test: Mapping[str, float] | None = None) -> None:
        """Save the model and its results, which finishes the run.

        Args:
          fitted: The chosen model and the results of its training.
          test: Its test metrics, as from `evaluate`; None without a test part.
        """
        if not self.workers.is_chief:
            return
        self.directory.weights_of(fitted.model).save()
        results = fitted.results
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6
        timing = {
            "seconds_since_last_start": time.monotonic() - self.started,
            "peak_memory_megabytes": peak,
        }
        if "training_seconds" in results:
            rate = results["training_examples"] / results["training_seconds"]
            print(f"trained {rate:,.0f} examples/s; at most {peak:,} MB of memory", file=sys.stderr)
        self.directory.finish(compose_results(self.config, fitted.model, results, test, timing))

    def new_model(self, counted: Sessions) -> SessionScorer:
        """Create the model with initial weights, or those of `init_from`, and item counts.

        Args:
          counted: Sessions whose clicks are counted.
        """
        keras.utils.set_random_seed(self.config.training.seed)
        with self.workers.strategy.scope():
            model = self.config.create_model()
        if self.config.init_from and isinstance(model, SessionEncoder):
            if self.workers.is_chief:
                _warm_start(model, warm_start_run(self.config), self.directory.vocabulary())
            self.workers.broadcast_variables(model.trainable_variables)
        model.fit_counts(counted)
        return model

    def _rank(self, model: SessionScorer, sessions: Sessions, part: str = "validation") -> Any:
        settings = self.config.training
        prefixes = Prefixes.from_sessions(sessions, settings.max_length)
        return evaluate(model, prefixes, settings.evaluation_batch_size, part, self.stop)

    def _rank_with_unknown(self, model: SessionScorer, sessions: Sessions, part: str) -> Any:
        settings = self.config.training
        sizes = settings.max_length, settings.evaluation_batch_size
        found = evaluate_sessions(model, sessions, model.ranking.ks, *sizes, part, self.stop)
        return {name: value for name, value in found.items() if "@" in name}

    def _logger(self, phase: Phase) -> TensorBoardLogger:
        """Create a phase's logger, with diagnostics if the settings ask for them."""
        directory, settings = self.events(phase.name), self.tensorboard
        is_first = phase.name == SELECTION or self.config.selection is not None
        profile = settings.profile_range() if is_first else None
        if not settings.tensorboard:
            return TensorBoardLogger(directory, profile)
        from hln_tf.training.diagnostics import TensorBoardDiagnostics

        part, sessions = "train", phase.train
        if phase.validation is not None:
            part, sessions = "validation", phase.validation
        vocabulary = self.directory.vocabulary
        return TensorBoardDiagnostics(directory, self.config, sessions, part, vocabulary, profile)


def train_and_evaluate(
    run: Run,
    train: Sessions,
    validation: Sessions,
    test: Sessions | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Run the steps that a run's config defines, or resume them from its checkpoint.

    Validation chooses the epoch, or has done so in the run of `selection`; with
    `refit`, a new model is then trained on full train. The test part is ranked
    once, by the chosen model.

    Args:
      run: The run.
      train: The sessions to train on.
      validation: Those that choose the epoch.
      test: Those to evaluate on, or None.
      more: Further results for `metrics.json`.

    Raises:
      TrainingInterrupt: A signal arrived; the checkpoint is saved.
      HlnError: A checkpoint or the loss is unusable.
    """
    if run.config.selection is not None:
        with HParamsLogger(run.events(RESULTS), run.config):
            fitted = run.refit(train + validation, run.selected(train, validation))
    else:
        fitted = run.fit(train, validation)
        if run.config.training.refit:
            fitted = run.refit(train + validation, fitted.results)
    results, metrics = {**fitted.results, **(more or {})}, None
    if test is not None:
        metrics = run.evaluate(fitted.model, test)
        unseen = unseen_targets(train, validation, test)
        results["unseen_test_targets"] = unseen
        if note := _describe_unseen(unseen, results["trained_on"], test.prefixes):
            print(note, file=sys.stderr)
    run.save(dataclasses.replace(fitted, results=results), metrics)


def _describe_unseen(unseen: Mapping[str, int], trained_on: str, targets: int) -> str:
    """Describe the test targets that the model cannot know; empty if there are none."""
    count, least = unseen[trained_on], unseen["train+validation"]
    if not count:
        return ""
    text = (
        f"{count:,} of the {targets:,} test targets ({count / targets:.1%}) are on items that "
        f"{trained_on} lacks: the model never learnt these"
    )
    if least == count:
        return text
    return (
        f"{text}; train and validation together lack {least / targets:.1%}: refit (--refit) "
        f"trains the final model on both"
    )


def _warm_start(model: SessionEncoder, older: RunDirectory, vocabulary: list[str]) -> None:
    """Copy an older run's weights into a model, rows of item tables by item id."""
    old_model = older.model()
    old_rows = {item_id: row for row, item_id in enumerate(older.vocabulary())}
    known = [row for row, item_id in enumerate(vocabulary) if item_id in old_rows]
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
