"""Seeds for layers and models that are not given one for each step."""

import random

import tensorflow as tf


class SeedGenerator(tf.Module):
    """A source of seeds: each call of `next` returns another one.

    Its state is a variable, so the seeds differ from step to step inside of a
    graph too, and a checkpoint resumes them.

    Args:
      seed: Fixes the seeds; None for one that `keras.utils.set_random_seed` fixes.

    Example:
    >>> seeds = SeedGenerator(1)
    >>> bool(tf.reduce_all(seeds.next() == seeds.next()))
    False
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        seed = random.getrandbits(31) if seed is None else seed
        # `Generator.from_seed` makes the seed the counter: near seeds would share their numbers.
        self._generator = tf.random.Generator.from_key_counter(seed, [0, 0], "philox")

    def next(self) -> tf.Tensor:
        """Return the next seed, int32 [2]."""
        return tf.cast(self._generator.make_seeds()[:, 0], tf.int32)
