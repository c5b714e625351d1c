"""The training loop and the evaluation."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from hln_tf.data.prefixes import Prefixes
from hln_tf.errors import HlnError
from hln_tf.models.base import SessionEncoder, SessionScorer
from hln_tf.training.events import Events
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.state import Progress, TrainingState

OBJECTIVE = "mrr@20"
STEPS_PER_EVENT = 100


class TrainingInterrupt(Exception):  # noqa: N818, it is no error
    """A signal asked the training to stop; its state is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopOnSignal:
    """Turns SIGINT and SIGTERM into a request to stop at the next step."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def check(self) -> None:
        """Raises `TrainingInterrupt` where a signal has come."""
        if self.received is not None:
            raise TrainingInterrupt(self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        # A second signal does not wait for the step to end.
        signal.signal(number, signal.SIG_DFL)


def fit(
    model: SessionEncoder,
    settings: TrainingSettings,
    train: Prefixes,
    validation: Prefixes | None,
    directory: Path,
    events: Events,
    epochs: int,
    stop: StopOnSignal,
    label: str = "epoch",
) -> Progress:
    """Trains a model, or goes on where a saved state left off.

    The batches, the noise and the learning rate of a step are functions of the
    seed, the epoch and the step, so a resumed training does what an
    uninterrupted one does.

    Args:
      model: The model; it ends with its best weights where there is validation,
        with its last ones otherwise.
      settings: How to train.
      train: Samples to train on.
      validation: Samples that choose the best epoch and stop early; None to
        train for exactly `epochs`.
      directory: Where the state is saved.
      events: Where TensorBoard's scalars go.
      epochs: Passes over `train` at most.
      stop: Says when to stop.
      label: What the progress bar calls an epoch.

    Returns:
      The history of the training.

    Raises:
      TrainingInterrupt: `stop` asked for it.
      HlnError: The loss is not finite, or a saved state is damaged.
    """
    model.optimizer = make_optimizer(settings)
    loss = keras.metrics.Mean(name="loss")
    state = TrainingState(
        directory, settings.checkpoint_minutes, model=model, optimizer=model.optimizer, loss=loss
    )
    if state.restore() and not state.progress.finished:
        progress = state.progress
        print(f"resuming {label} {progress.epoch + 1} at step {progress.step}", file=sys.stderr)
    train_step = compile_step(model, loss)
    try:
        while not state.progress.finished:
            _train_epoch(
                state, train_step, settings, model, loss, train, events, epochs, stop, label
            )
            _judge_epoch(state, settings, model, loss, validation, events, epochs, stop, label)
            state.save()
    except TrainingInterrupt:
        state.save()
        raise
    if validation is not None:
        state.restore_best()
    return state.progress


def _train_epoch(
    state: TrainingState,
    train_step: Callable[..., None],
    settings: TrainingSettings,
    model: SessionEncoder,
    loss: Any,
    train: Prefixes,
    events: Events,
    epochs: int,
    stop: StopOnSignal,
    label: str,
) -> None:
    """Runs the steps of the epoch under way that are not done yet."""
    progress = state.progress
    epoch, steps = progress.epoch, train.steps(settings.batch_size)
    model.optimizer.learning_rate = settings.learning_rate_at(epoch)
    order = train.shuffled(settings.batch_size, settings.seed, epoch)
    batches = train.batches(order, settings.batch_size, progress.step)
    epoch_seed = np.random.SeedSequence([settings.seed, epoch]).generate_state(1).view(np.int32)[0]
    with tqdm(
        total=len(train),
        initial=min(progress.step * settings.batch_size, len(train)),
        desc=f"{label} {epoch + 1}/{epochs}",
        unit=" sequences",
        unit_scale=True,
        mininterval=0.5,
        disable=None,
    ) as bar:
        for batch in batches:
            started = time.monotonic()
            train_step(batch["items"], batch["target"], tf.stack([epoch_seed, batch["step"]]))
            progress.step += 1
            progress.seconds += time.monotonic() - started
            if bar.update(len(batch["target"])) or progress.step == steps:
                bar.set_postfix(loss=f"{finite(loss, epoch, progress.step):.4f}", refresh=False)
            if progress.step % STEPS_PER_EVENT == 0:
                events.scalars(
                    {"running_loss": float(loss.result())}, epoch * steps + progress.step
                )
            stop.check()
            state.save_if_due()


def _judge_epoch(
    state: TrainingState,
    settings: TrainingSettings,
    model: SessionEncoder,
    loss: Any,
    validation: Prefixes | None,
    events: Events,
    epochs: int,
    stop: StopOnSignal,
    label: str,
) -> None:
    """Records the epoch whose steps are done, and whether it is the best or the last."""
    progress = state.progress
    entry = {
        "loss": float(loss.result()),
        "learning_rate": settings.learning_rate_at(progress.epoch),
    }
    if validation is not None:
        entry |= evaluate(model, validation, settings.evaluation_batch_size, "validation", stop)
        best = progress.best_epoch
        if best is None or entry[OBJECTIVE] > progress.history[best][OBJECTIVE]:
            progress.best_epoch = progress.epoch
            state.save_best()
    progress.history.append(entry)
    events.scalars({f"epoch/{name}": value for name, value in entry.items()}, progress.epoch + 1)
    print(f"{label} {progress.epoch + 1}: {describe(entry)}", file=sys.stderr)
    progress.epoch, progress.step = progress.epoch + 1, 0
    loss.reset_state()
    stale = progress.epoch - 1 - (progress.best_epoch or 0)
    stopped_early = validation is not None and stale >= settings.patience
    progress.finished = progress.epoch >= epochs or stopped_early


def compile_step(model: SessionEncoder, loss: Any) -> Callable[..., None]:
    """One optimiser step as one graph for all lengths."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def train_step(items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> None:
        results = model.train_step({"items": items, "target": target, "seed": seed})
        loss.update_state(results["loss"], sample_weight=tf.shape(target)[0])

    return train_step


def make_optimizer(settings: TrainingSettings) -> Any:
    """The optimiser; Keras' older classes run each update as one fused operation."""
    clip = {"global_clipnorm": settings.clip_norm} if settings.clip_norm else {}
    if settings.optimizer == "adam":
        return keras.optimizers.legacy.Adam(settings.learning_rate, **clip)
    return keras.optimizers.legacy.SGD(settings.learning_rate, momentum=settings.momentum, **clip)


def finite(loss: Any, epoch: int, step: int) -> float:
    """The running loss.

    Raises:
      HlnError: It is not a finite number.
    """
    value = float(loss.result())
    if not np.isfinite(value):
        raise HlnError(
            f"the loss is {value} in epoch {epoch + 1} at step {step}: lower --learning_rate, "
            f"or limit the gradients with --clip_norm"
        )
    return value


def evaluate(
    model: SessionScorer, prefixes: Prefixes, batch_size: int, label: str, stop: StopOnSignal
) -> dict[str, float]:
    """Recall@k and MRR@k of a model, over the full catalogue.

    Args:
      model: The model.
      prefixes: Samples to rank.
      batch_size: Samples ranked at a time.
      label: What the progress bar shows.
      stop: Says when to stop.

    Returns:
      The metrics by name, as fractions of 1.
    """
    test_step = tf.function(
        lambda items, target: model.test_step({"items": items, "target": target}),
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)],
    )
    model.ranking.reset_states()
    for batch in _shown(prefixes.batches(prefixes.by_length(), batch_size), prefixes, label):
        test_step(batch["items"], batch["target"])
        stop.check()
    return model.ranking.results()


def _shown(batches: tf.data.Dataset, prefixes: Prefixes, label: str) -> Iterator[Any]:
    with tqdm(
        total=len(prefixes), desc=label, unit=" sequences", unit_scale=True, disable=None
    ) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch["target"]))


def describe(entry: dict[str, float]) -> str:
    """An epoch's figures on one line."""
    parts = [f"loss {entry['loss']:.4f}"] if "loss" in entry else []
    parts += [
        f"{name} {100 * entry[name]:.2f} %" for name in ("recall@20", "mrr@20") if name in entry
    ]
    return ", ".join(parts)
