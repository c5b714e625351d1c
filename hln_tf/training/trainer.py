"""The training loop."""

import dataclasses
import functools
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tf_keras as keras

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import TrainingInterrupt
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefetching import prefetched
from hln_tf.data.prefixes import Prefixes, noise_seed
from hln_tf.data.sessions import Sessions
from hln_tf.models.encoder import SessionEncoder
from hln_tf.training.context import RunContext
from hln_tf.training.evaluation import evaluate
from hln_tf.training.optimizers import LazyAdam, add_weight_decay
from hln_tf.training.results import describe, is_better, is_over
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.state import Progress, TrainingCheckpoint
from hln_tf.training.steps import StepInputs, TrainingSteps
from hln_tf.training.tensorboard import TensorBoardLogger

SELECTION, REFIT = "selection", "refit"
STEPS_PER_EVENT = 100


@dataclasses.dataclass(frozen=True)
class Phase:
    """One training within a run.

    Attributes:
      name: `SELECTION`, whose epochs validation compares, or `REFIT`.
      train: Sessions to train on.
      epochs: Passes over their examples, at most with validation, exactly without.
      validation: Sessions that choose the best epoch and stop early, or None.
      selected: Results of the selection, for a refit.
    """

    name: str
    train: Sessions
    epochs: int
    validation: Sessions | None = None
    selected: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """An epoch's name for the progress bar."""
        return "epoch" if self.name == SELECTION else f"{self.name} epoch"


class Trainer:
    """Trains a model, from the start or from the run's checkpoint.

    The batches, the noise and the learning rate of a step are functions of the
    seed, the epoch and the step, so a resumed training computes what an
    uninterrupted one does.

    Args:
      context: The run.
      model: The model.
      phase: The phase: its data and number of epochs.
      logger: Logger for TensorBoard.
    """

    def __init__(
        self, context: RunContext, model: SessionEncoder, phase: Phase, logger: TensorBoardLogger
    ) -> None:
        self._settings = settings = context.config.training
        self._model, self._phase, self._logger, self._stop = model, phase, logger, context.stop
        self._should_stop = context.should_stop
        self._train = Prefixes.from_sessions(phase.train, settings.max_length)
        self._validation = None
        if phase.validation is not None:
            self._validation = Prefixes.from_sessions(phase.validation, settings.max_length)
        with context.workers.strategy.scope():
            self._optimizer = make_optimizer(settings)
        self._loss = keras.metrics.Mean(name="loss")
        self._take = TrainingSteps(
            model, self._optimizer, self._loss, settings, int(self._train.lengths.max(initial=1))
        )
        self._steps = self._train.steps(settings.batch_size)
        self._checkpoint = TrainingCheckpoint(
            context,
            Progress(phase.name, selected=dict(phase.selected)),
            model,
            optimizer=self._optimizer,
            loss=self._loss,
        )

    def run(self) -> Progress:
        """Train to the end of the phase.

        Returns:
          The progress with its history. The model has its best weights if there
          is validation, its last ones otherwise.

        Raises:
          TrainingInterrupt: A signal arrived; the checkpoint is saved.
          HlnError: The loss is not finite, or a checkpoint is damaged.
        """
        restored = self._checkpoint.restore()
        progress = self._checkpoint.progress
        # The checkpoint may be that of a training for fewer epochs.
        progress.finished = self._is_over()
        if not progress.finished:
            if restored:
                print(
                    f"resuming {self._phase.label} {progress.epoch + 1} after step {progress.step}",
                    file=sys.stderr,
                )
            if self._take.lengths:
                lengths = ", ".join(map(str, self._take.lengths))
                print(
                    f"XLA compiles {len(self._take.lengths)} programs at most, when they are "
                    f"first needed: for sessions of up to {lengths} clicks",
                    file=sys.stderr,
                )
            self._logger.begin(self._model, self._take.one)
        try:
            while not progress.finished:
                self._train_epoch()
                self._checkpoint.save()  # validation may take longer than checkpoint_minutes
                self._validate_epoch()
                self._checkpoint.save()
        except TrainingInterrupt:
            self._checkpoint.save()
            raise
        if self._validation is not None:
            self._checkpoint.restore_best()
        return progress

    def _train_epoch(self) -> None:
        """Run the steps of the epoch in progress that are not done yet."""
        settings, progress = self._settings, self._checkpoint.progress
        epoch = progress.epoch
        self._optimizer.learning_rate = settings.learning_rate_at(epoch)
        order = self._train.shuffled(settings.batch_size, settings.seed, epoch)
        batches = self._train.batches(order, settings.batch_size, progress.step)
        label = f"{self._phase.label} {epoch + 1}/{self._phase.epochs}"
        done = min(progress.step * settings.batch_size, len(self._train))
        with (
            progress_bar(label, "examples", len(self._train), done) as bar,
            prefetched(self._inputs(batches, epoch, progress.step)) as prepared,
        ):
            started = time.monotonic()
            self._logger.resume()
            for inputs in prepared:
                self._take(inputs)
                progress.step += len(inputs.target)
                self._logger.stepped(len(inputs.target), inputs.target.size)
                if bar.update(inputs.target.size) or progress.step == self._steps:
                    bar.set_postfix(loss=f"{self._finite_loss():.4f}", refresh=False)
                if progress.step % STEPS_PER_EVENT == 0 or progress.step == self._steps:
                    number = epoch * self._steps + progress.step
                    self._logger.at_step(number, self._finite_loss(), *inputs.last())
                now = time.monotonic()
                progress.seconds, started = progress.seconds + now - started, now
                self._stop.check()
                self._checkpoint.save_if_due()

    def _inputs(
        self, batches: Iterator[Mapping[str, Any]], epoch: int, step: int
    ) -> Iterator[StepInputs]:
        """Prepare the calls of an epoch, some of whose steps are done.

        A call ends where an event is logged, and an epoch's smaller last batch is in one of
        its own. Steps that are profiled are called one by one.
        """
        settings = self._settings
        of_epoch, whole = noise_seed(settings.seed, epoch), len(self._train) // settings.batch_size
        most = 1 if self._logger.profiles else self._take.most
        while step < self._steps:
            until_event = STEPS_PER_EVENT - step % STEPS_PER_EVENT
            count = max(1, min(most, until_event, whole - step))
            seeds = np.array([[of_epoch, step + place] for place in range(count)], np.int32)
            yield StepInputs.stack(list(itertools.islice(batches, count)), seeds)
            step += count

    def _validate_epoch(self) -> None:
        """Record the epoch whose steps are done, and whether it is the best or the last."""
        settings, progress = self._settings, self._checkpoint.progress
        learning_rate = settings.learning_rate_at(progress.epoch)
        entry = {"loss": self._finite_loss(), "learning_rate": learning_rate}
        if self._validation is not None:
            entry |= evaluate(
                self._model,
                self._validation,
                settings.evaluation_batch_size,
                "validation",
                self._stop,
            )
            if is_better(entry, progress.history, progress.best_epoch):
                progress.best_epoch = progress.epoch
                self._checkpoint.save_best()
        progress.history.append(entry)
        self._logger.at_epoch(progress.epoch + 1, entry)
        print(f"{self._phase.label} {progress.epoch + 1}: {describe(entry)}", file=sys.stderr)
        progress.epoch, progress.step = progress.epoch + 1, 0
        self._loss.reset_state()
        progress.finished = self._is_over()
        if progress.finished and progress.epoch < self._phase.epochs:
            print(
                f"stopped early: no better validation MRR@20 in {settings.patience} epochs "
                f"(--patience); the best is epoch {(progress.best_epoch or 0) + 1}",
                file=sys.stderr,
            )

    def _is_over(self) -> bool:
        """Check for the end of the phase: all epochs are done, or early stopping applies."""
        progress = self._checkpoint.progress
        best = None if self._validation is None else progress.best_epoch
        if is_over(progress.epoch, best, self._phase.epochs, self._settings.patience):
            return True
        return best is not None and self._should_stop(progress.history)

    def _finite_loss(self) -> float:
        value = float(self._loss.result())
        if not np.isfinite(value):
            progress = self._checkpoint.progress
            raise HlnError(
                f"the loss is {value} in epoch {progress.epoch + 1} at step {progress.step}: "
                f"lower `learning_rate`, or limit the gradients with `clip_norm`"
            )
        return value


def make_optimizer(settings: TrainingSettings) -> Any:
    """Create the optimiser; Keras' older classes run each update as one fused operation."""
    options: dict[str, Any] = {}
    if settings.clip_norm:
        options["global_clipnorm"] = settings.clip_norm
    if settings.l2:
        options["gradient_transformers"] = [functools.partial(add_weight_decay, settings.l2)]
    if settings.optimizer == "adam":
        return LazyAdam(settings.learning_rate, epsilon=settings.epsilon, **options)
    if settings.optimizer == "adagrad":
        return keras.optimizers.legacy.Adagrad(
            settings.learning_rate,
            initial_accumulator_value=0.0,
            epsilon=settings.epsilon,
            **options,
        )
    return keras.optimizers.legacy.SGD(
        settings.learning_rate, momentum=settings.momentum, **options
    )
