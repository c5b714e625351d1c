"""Random numbers of a training step, as a function of its seed.

They do not depend on how a batch is split: a replica draws the numbers that its rows would
have in the whole batch, and no others. XLA would draw other numbers from the same seed, so
those of a step that it compiles are sampled outside of the compiled part.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

# Philox makes four float32 numbers for each increment of its counter.
_NUMBERS = 4


class StepSeed(NamedTuple):
    """The seed of a step's noise, with the rows and the graph that its noise is for.

    Attributes:
      step: int32 [2], the step's seed.
      first: int32 [], place of the first row in the global batch; None where the rows are
        the whole batch.
      batch: int32 [], rows of the global batch; None where the rows are the whole batch.
      graph: The graph in which noise is sampled, of which that where it is used is a part;
        None where they are the same.
      time: int32 [], the time of the batch that noise is sampled for, where it is used
        in one that has more padding.
    """

    step: tf.Tensor
    first: tf.Tensor | None = None
    batch: tf.Tensor | None = None
    graph: Any = None
    time: tf.Tensor | None = None


Seed: TypeAlias = tf.Tensor | StepSeed


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the size of each axis of a tensor: a number where it is known, else int32 []."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]


def uniform_shared(
    shape: Sequence[int], seed: Seed, salt: int, dtype: Any = tf.float32
) -> tf.Tensor:
    """Sample numbers in [0, 1) that all replicas share.

    Args:
      shape: Their shape.
      seed: The seed.
      salt: Separates them from other noise with the same seed.
      dtype: Their type.
    """
    seed = _step_seed(seed)
    with _sampling(seed):
        return tf.random.stateless_uniform(shape, _salted(seed.step, salt), dtype=dtype)


def uniform_rows(
    shape: Sequence[int | tf.Tensor],
    seed: Seed,
    axis: int,
    time_axes: Sequence[int] = (),
    salt: int | None = None,
    minval: float = 0.0,
) -> tf.Tensor:
    """Sample numbers in [minval, 1) for rows of a batch.

    Args:
      shape: The sizes of the numbers for these rows, see `sizes`; before the axis they
        are known, and all are where the seed has a graph.
      seed: The seed.
      axis: The axis of the rows.
      time_axes: The axes of time steps. Where the seed has a `time`, more padding than that
        changes none of the other numbers.
      salt: Separates the numbers from other noise with the same seed.
      minval: The least number.

    Returns:
      float32, of this shape; 0.5 where padding has been added.
    """
    seed = _step_seed(seed)
    with _sampling(seed):
        salted = seed.step if salt is None else _salted(seed.step, salt)
        if seed.first is not None:
            return _part(shape, salted, seed, axis) * (1 - minval) + minval
        if seed.time is None:
            return tf.random.stateless_uniform(shape, salted, minval=minval)
        there = [seed.time if each in time_axes else size for each, size in enumerate(shape)]
        numbers = tf.random.stateless_uniform(there, salted, minval=minval)
        padding = [[0, size - own] for size, own in zip(shape, there, strict=True)]
        return tf.ensure_shape(tf.pad(numbers, padding, constant_values=0.5), shape)


def _part(
    shape: Sequence[int | tf.Tensor], salted: tf.Tensor, seed: StepSeed, axis: int
) -> tf.Tensor:
    """Sample the numbers in [0, 1) that `stateless_uniform` would give these rows of a batch."""
    width = tf.reduce_prod(tf.cast([1, *shape[axis + 1 :]], tf.int64))  # numbers of a row
    size = tf.cast(shape[axis], tf.int64) * width
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=salted)
    parts = []
    for place in range(math.prod(shape[:axis])):
        start = (place * tf.cast(seed.batch, tf.int64) + tf.cast(seed.first, tf.int64)) * width
        skipped = start % _NUMBERS
        numbers = tf.raw_ops.StatelessRandomUniformV2(
            shape=[size + skipped],
            key=key,
            counter=counter + tf.cast([start // _NUMBERS, 0], tf.uint64),
            alg=tf.random.Algorithm.PHILOX.value,
        )
        parts.append(numbers[skipped:])
    return tf.reshape(tf.concat(parts, axis=0), shape)


def _step_seed(seed: Seed) -> StepSeed:
    return seed if isinstance(seed, StepSeed) else StepSeed(seed)


def _salted(seed: tf.Tensor, salt: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, salt)


@contextlib.contextmanager
def _sampling(seed: StepSeed) -> Iterator[None]:
    """Make operations in the graph of the noise."""
    if seed.graph is None:
        yield
        return
    with seed.graph.as_default():
        yield
