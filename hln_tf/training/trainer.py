"""The training loop."""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes
from hln_tf.models.base import SessionEncoder
from hln_tf.training.distribution import Workers
from hln_tf.training.evaluation import describe, evaluate
from hln_tf.training.gradients import STEP_SIGNATURE, replica_gradients
from hln_tf.training.optimizers import LazyAdam, add_weight_decay
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.state import Progress, TrainingState
from hln_tf.training.tensorboard import TensorBoardLogger

OBJECTIVE = "mrr@20"
STEPS_PER_EVENT = 100


class Trainer:
    """Trains a model, from the start or from where a saved state left off.

    The batches, the noise and the learning rate of a step are functions of the
    seed, the epoch and the step, so a resumed training does what an
    uninterrupted one does.

    Args:
      model: The model.
      settings: How to train.
      train: Samples to train on.
      validation: Samples that choose the best epoch and stop early; None to
        train for exactly `epochs`.
      epochs: Passes over `train` at most.
      directory: Where the state is saved.
      events: What TensorBoard is told.
      stop: Says when to stop.
      workers: The workers that train together.
      label: What the progress bar calls an epoch.
    """

    def __init__(
        self,
        model: SessionEncoder,
        settings: TrainingSettings,
        train: Prefixes,
        validation: Prefixes | None,
        epochs: int,
        directory: Path,
        events: TensorBoardLogger,
        stop: StopOnSignal,
        workers: Workers,
        label: str = "epoch",
    ) -> None:
        self._model = model
        self._settings = settings
        self._train = train
        self._validation = validation
        self._epochs = epochs
        self._events = events
        self._stop = stop
        self._label = label
        with workers.strategy.scope():
            self._optimizer = make_optimizer(settings)
        self._loss = keras.metrics.Mean(name="loss")
        self._step = compile_step(model, self._optimizer, self._loss)
        self._steps = train.steps(settings.batch_size)
        self._state = TrainingState(
            directory,
            settings.checkpoint_minutes,
            workers,
            model=model,
            optimizer=self._optimizer,
            loss=self._loss,
        )

    def run(self) -> Progress:
        """Trains to the end.

        Returns:
          The history. The model holds its best weights where there is
          validation, its last ones otherwise.

        Raises:
          TrainingInterrupt: A signal asked to stop; the state is saved.
          HlnError: The loss is not finite, or a saved state is damaged.
        """
        restored = self._state.restore()
        progress = self._state.progress
        # The saved state may be that of a training for fewer epochs.
        progress.finished = self._is_over()
        if restored and not progress.finished:
            print(
                f"resuming {self._label} {progress.epoch + 1} after step {progress.step}",
                file=sys.stderr,
            )
        if not self._state.progress.finished:
            self._events.begin(self._model, self._step)
        try:
            while not self._state.progress.finished:
                self._train_epoch()
                self._state.save()  # validation may take longer than the time between states
                self._validate_epoch()
                self._state.save()
        except TrainingInterrupt:
            self._state.save()
            raise
        if self._validation is not None:
            self._state.restore_best()
        return self._state.progress

    def _train_epoch(self) -> None:
        """Runs the steps of the epoch under way that are not done yet."""
        settings, progress = self._settings, self._state.progress
        epoch = progress.epoch
        self._optimizer.learning_rate = settings.learning_rate_at(epoch)
        order = self._train.shuffled(settings.batch_size, settings.seed, epoch)
        batches = self._train.batches(order, settings.batch_size, progress.step)
        noise_seed = (
            np.random.SeedSequence([settings.seed, epoch]).generate_state(1).view(np.int32)[0]
        )
        label = f"{self._label} {epoch + 1}/{self._epochs}"
        done = min(progress.step * settings.batch_size, len(self._train))
        with progress_bar(label, "sequences", len(self._train), done) as bar:
            started = time.monotonic()
            self._events.resume()
            for batch in batches:
                seed = np.array([noise_seed, progress.step], np.int32)
                self._step(batch["items"], batch["target"], seed)
                progress.step += 1
                self._events.stepped(len(batch["target"]))
                if bar.update(len(batch["target"])) or progress.step == self._steps:
                    bar.set_postfix(loss=f"{self._finite_loss():.4f}", refresh=False)
                if progress.step % STEPS_PER_EVENT == 0 or progress.step == self._steps:
                    number = epoch * self._steps + progress.step
                    self._events.at_step(number, self._finite_loss(), batch, seed)
                now = time.monotonic()
                progress.seconds, started = progress.seconds + now - started, now
                self._stop.check()
                self._state.save_if_due()

    def _validate_epoch(self) -> None:
        """Records the epoch whose steps are done, and whether it is the best or the last."""
        settings, progress = self._settings, self._state.progress
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
            best = progress.best_epoch
            if best is None or entry[OBJECTIVE] > progress.history[best][OBJECTIVE]:
                progress.best_epoch = progress.epoch
                self._state.save_best()
        progress.history.append(entry)
        self._events.at_epoch(progress.epoch + 1, entry)
        print(f"{self._label} {progress.epoch + 1}: {describe(entry)}", file=sys.stderr)
        progress.epoch, progress.step = progress.epoch + 1, 0
        self._loss.reset_state()
        progress.finished = self._is_over()

    def _is_over(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing better."""
        progress = self._state.progress
        stale = progress.epoch - 1 - (progress.best_epoch or 0)
        stopped_early = self._validation is not None and stale >= self._settings.patience
        return progress.epoch >= self._epochs or stopped_early

    def _finite_loss(self) -> float:
        value = float(self._loss.result())
        if not np.isfinite(value):
            progress = self._state.progress
            raise HlnError(
                f"the loss is {value} in epoch {progress.epoch + 1} at step {progress.step}: "
                f"lower --learning_rate, or limit the gradients with --clip_norm"
            )
        return value


def compile_step(model: SessionEncoder, optimizer: Any, loss: Any) -> Callable[..., None]:
    """One optimiser step as one graph for all lengths.

    Args:
      model: The model to train; its strategy's replicas share a batch.
      optimizer: Its optimiser.
      loss: Running mean of the loss over samples.

    Returns:
      A function of `items` int32 [batch, time], `target` int32 [batch] and
      `seed` int32 [2].
    """
    strategy = model.distribute_strategy

    def replica_step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        part_loss, gradients = replica_gradients(model, batch)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return part_loss

    @tf.function(input_signature=STEP_SIGNATURE)
    def train_step(items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> None:
        batch = {"items": items, "target": target, "seed": seed}
        part_losses = strategy.run(replica_step, args=(batch,))
        model.after_step(items)
        batch_loss = strategy.reduce(tf.distribute.ReduceOp.SUM, part_losses, axis=None)
        loss.update_state(batch_loss, sample_weight=tf.shape(target)[0])

    # Tracing makes the optimiser's variables. A state restored before they are there would
    # reach them at the first step only, and a save before that step would lose them.
    train_step.get_concrete_function()
    return train_step


def make_optimizer(settings: TrainingSettings) -> Any:
    """The optimiser; Keras' older classes run each update as one fused operation."""
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
