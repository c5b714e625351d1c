"""Optimiser steps of a training: graphs or programs of XLA, several of them in a call."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.layers.choices import XLA
from hln_tf.layers.noise import StepSeed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import compiled, needs_autograph
from hln_tf.training.gradients import STEP_SIGNATURE, replica_gradients
from hln_tf.training.settings import TrainingSettings

# The least length that sessions are padded to for XLA; the others are its multiples by 2.
_SHORTEST = 4
_SEVERAL_SIGNATURE = [
    tf.TensorSpec([None, None, None], tf.int32),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None, 2], tf.int32),
    tf.TensorSpec([None], tf.int32),
]


class StepInputs(NamedTuple):
    """Inputs of some steps, whose batches are of one size.

    Attributes:
      items: int32 [steps, batch, time], padded with 0 to the longest batch.
      target: int32 [steps, batch].
      seeds: int32 [steps, 2], the seeds of the steps' noise.
      lengths: int32 [steps], time of each batch.
    """

    items: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    seeds: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]

    @classmethod
    def stack(
        cls, batches: Sequence[Mapping[str, npt.NDArray[np.int32]]], seeds: npt.NDArray[np.int32]
    ) -> "StepInputs":
        """Stack the batches of `Prefixes.batches` for steps of these seeds."""
        lengths = np.array([batch["items"].shape[1] for batch in batches], np.int32)
        items = np.zeros([len(batches), len(batches[0]["items"]), lengths.max()], np.int32)
        for of_step, batch, length in zip(items, batches, lengths, strict=True):
            of_step[:, :length] = batch["items"]
        return cls(items, np.stack([batch["target"] for batch in batches]), seeds, lengths)

    def last(self) -> tuple[dict[str, npt.NDArray[np.int32]], npt.NDArray[np.int32]]:
        """Return the last step's batch and seed."""
        batch = {"items": self.items[-1][:, : self.lengths[-1]], "target": self.target[-1]}
        return batch, self.seeds[-1]


class TrainingSteps:
    """The optimiser steps of a training.

    A step computes the same alone as with others in a call. With the execution `xla`
    the forward pass, the gradients and the update are one program for each of a few
    lengths that sessions are padded to; noise is sampled outside of it. A batch that is
    smaller than the others, an epoch's last one, is a step as a graph.

    Args:
      model: The model to train; a batch is divided among its strategy's replicas.
      optimizer: Its optimiser.
      loss: Running mean of the loss over examples.
      settings: Settings of the training, of which the execution is `graph` or `xla`.
      longest: Clicks in the longest prefix.

    Raises:
      HlnError: The execution is `xla`, and there are several replicas.

    Attributes:
      one: The function of one step as a graph, see `compile_step`.
      most: The largest number of steps in a call; 1 on several devices, whose sums in the
        steps of one call are not ordered.
      lengths: The lengths that XLA compiles programs for; none for graphs.
    """

    def __init__(
        self,
        model: SessionEncoder,
        optimizer: Any,
        loss: Any,
        settings: TrainingSettings,
        longest: int,
    ) -> None:
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._batch_size = settings.batch_size
        replicas = model.distribute_strategy.num_replicas_in_sync
        self.most = settings.steps_per_execution if replicas == 1 else 1
        self.lengths: tuple[int, ...] = ()
        if settings.execution == XLA:
            if replicas > 1:
                raise HlnError(
                    f"`execution` is xla, which is for one device, where this training has "
                    f"{replicas}: choose graph"
                )
            self.lengths = padded_lengths(longest)
        self.one = compile_step(model, optimizer, loss)
        self._several = compiled(self._take_several, _SEVERAL_SIGNATURE, model)

    def __call__(self, inputs: StepInputs) -> None:
        """Take steps.

        Raises:
          HlnError: XLA cannot compile one, or a gradient is sparse.
        """
        items, target, seeds, lengths = inputs
        is_program = bool(self.lengths) and items.shape[1] == self._batch_size
        if len(items) == 1 and not is_program:
            self.one(items[0], target[0], seeds[0])
            return
        if is_program:
            time = next(length for length in self.lengths if length >= items.shape[2])
            items = np.pad(items, [(0, 0), (0, 0), (0, time - items.shape[2])])
        try:
            self._several(items, target, seeds, lengths)
        except tf.errors.InvalidArgumentError as error:
            missing = re.search(r" on XLA_\w+: (\w+)", error.message)
            if missing is None:
                raise
            raise HlnError(
                f"XLA does not have the operation {missing[1]}, which a step of this training "
                f"needs: choose graph for `execution`"
            ) from None

    def _take_several(
        self, items: tf.Tensor, target: tf.Tensor, seeds: tf.Tensor, lengths: tf.Tensor
    ) -> None:
        """Take steps, one after another; the arguments are those of `StepInputs`."""

        def take(step: tf.Tensor) -> tf.Tensor:
            arguments = items[step], target[step], seeds[step]
            if self.lengths:
                shorter = tf.cast(tf.constant(self.lengths) < lengths[step], tf.int32)
                programs = [
                    functools.partial(self._run_program, length, lengths[step], *arguments)
                    for length in self.lengths
                ]
                tf.switch_case(tf.reduce_sum(shorter), programs)
            else:
                self.one(arguments[0][:, : lengths[step]], *arguments[1:])
            return step + 1

        tf.while_loop(lambda step: step < tf.shape(items)[0], take, [0], parallel_iterations=1)

    def _run_program(
        self, length: int, time: tf.Tensor, items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Take a step by the program for a length, with a batch of less time; return its loss."""
        model, optimizer = self._model, self._optimizer
        items = tf.ensure_shape(items[:, :length], [self._batch_size, length])
        target = tf.ensure_shape(target, [self._batch_size])

        def program(items: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            of_step = StepSeed(seed, graph=outside, time=time)
            loss, gradients = replica_gradients(
                model, {"items": items, "target": target, "seed": of_step}
            )
            pairs = list(zip(gradients, model.trainable_variables, strict=True))
            _check_dense(pairs)
            optimizer.apply_gradients(pairs)
            model.after_step(items)
            return loss

        outside = items.graph
        autograph = needs_autograph(model)
        loss = tf.function(program, jit_compile=True, autograph=autograph)(items, target)
        self._loss.update_state(loss, sample_weight=self._batch_size)
        return loss


def _check_dense(pairs: Sequence[tuple[Any, tf.Variable]]) -> None:
    """Check that no gradient is sparse: the number of its rows differs from step to step.

    XLA fills them up to a constant number, and a lazy update would move the rows of that.
    """
    for gradient, weight in pairs:
        if isinstance(gradient, tf.IndexedSlices):
            raise HlnError(
                f"`execution` is xla, which is for dense gradients, and that of "
                f"{weight.name.partition(':')[0]} is sparse: choose graph"
            )


def padded_lengths(longest: int) -> tuple[int, ...]:
    """Choose the lengths that sessions are padded to, so that few programs are compiled.

    Args:
      longest: The largest number of clicks.

    Returns:
      Powers of 2 from 4, and the largest number; fewer than half of the places of a
      longer batch are padding.
    """
    lengths = []
    length = _SHORTEST
    while length < longest:
        lengths.append(length)
        length *= 2
    return (*lengths, longest)


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
