"""The training loop."""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import TrainingInterrupt
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes, noise_seed
from hln_tf.data.sessions import Sessions
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import compiled
from hln_tf.training.context import RunContext
from hln_tf.training.evaluation import evaluate
from hln_tf.training.gradients import STEP_SIGNATURE, replica_gradients
from hln_tf.training.optimizers import LazyAdam, add_weight_decay
from hln_tf.training.results import describe, is_better, is_over
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.state import Progress, TrainingCheckpoint
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
        self._step = compile_step(model, self._optimizer, self._loss)
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
            self._logger.begin(self._model, self._step)
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
        of_epoch = noise_seed(settings.seed, epoch)
        label = f"{self._phase.label} {epoch + 1}/{self._phase.epochs}"
        done = min(progress.step * settings.batch_size, len(self._train))
        with progress_bar(label, "examples", len(self._train), done) as bar:
            started = time.monotonic()
            self._logger.resume()
            for batch in batches:
                seed = np.array([of_epoch, progress.step], np.int32)
                self._step(batch["items"], batch["target"], seed)
                progress.step += 1
                self._logger.stepped(len(batch["target"]))
                if bar.update(len(batch["target"])) or progress.step == self._steps:
                    bar.set_postfix(loss=f"{self._finite_loss():.4f}", refresh=False)
                if progress.step % STEPS_PER_EVENT == 0 or progress.step == self._steps:
                    number = epoch * self._steps + progress.step
                    self._logger.at_step(number, self._finite_loss(), batch, seed)
                now = time.monotonic()
                progress.seconds, started = progress.seconds + now - started, now
                self._stop.check()
                self._checkpoint.save_if_due()

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


def compile_step(model: SessionEncoder, optimizer: Any, loss: Any) -> Callable[..., None]:
    """Compile one optimiser step as one graph for all lengths.

    Args:
      model: The model to train; a batch is divided among its strategy's replicas.
      optimizer: Its optimiser.
      loss: Running mean of the loss over examples.

    Returns:
      A function of `items` int32 [batch, time], `target` int32 [batch] and
      `seed` int32 [2].
    """
    strategy = model.distribute_strategy

    def replica_step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        part_loss, gradients = replica_gradients(model, batch)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return part_loss

    def replica_variables() -> None:
        weights = model.trainable_variables
        optimizer.apply_gradients([(tf.zeros_like(weight), weight) for weight in weights])

    def make_variables() -> None:
        strategy.run(replica_variables)

    def train_step(items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> None:
        batch = {"items": items, "target": target, "seed": seed}
        part_losses = strategy.run(replica_step, args=(batch,))
        model.after_step(items)
        batch_loss = strategy.reduce(tf.distribute.ReduceOp.SUM, part_losses, axis=None)
        loss.update_state(batch_loss, sample_weight=tf.shape(target)[0])

    # Tracing makes the optimiser's variables. A checkpoint restored before they exist would
    # reach them at the first step only, and a save before that step would lose them. A graph
    # that makes variables is traced twice, so they are made by a small one.
    tf.function(make_variables, autograph=False).get_concrete_function()
    return compiled(train_step, STEP_SIGNATURE, model)


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
