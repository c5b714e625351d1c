"""Training on several devices and by several workers, with the code of one.

The same code runs on one device, on the GPUs of a machine and on those of the
workers that TF_CONFIG names: each replica takes its rows of the global batch
(`hln_tf.layers.sharding`), gradients are summed, and all decisions follow from numbers
that are the same everywhere.
"""

import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.training.cluster import VARIABLE, Cluster
from hln_tf.training.settings import RunConfig

_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class Workers:
    """The workers of a training, of which this process is one; most often the only one.

    What the chief tells or shares reaches all; every worker must call these
    methods in the same order. Alone, none of them does anything.

    Args:
      cluster: The workers and which of them this is.
    """

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._cluster = cluster or Cluster()
        self.is_chief = self._cluster.is_chief
        self.strategy = _strategy(self._cluster)

    def broadcast_object(self, content: Any) -> Any:
        """What the chief has for `content`, plain values for JSON, on every worker."""
        if not self._cluster.is_several:
            return content
        own = np.frombuffer(json.dumps(content).encode(), np.uint8).astype(np.int32)
        size = int(self._from_chief(tf.constant(len(own))))
        told = self._from_chief(tf.constant(np.resize(own, size)))
        return json.loads(told.numpy().astype(np.uint8).tobytes())

    def broadcast_variables(self, variables: Iterable[tf.Variable]) -> None:
        """Gives all workers the chief's values of variables."""
        if self._cluster.is_several:
            for variable in variables:
                variable.assign(self._from_chief(tf.convert_to_tensor(variable)))

    def all_reduce_max(self, number: int) -> int:
        """The highest of the numbers that the workers have."""
        if not self._cluster.is_several:
            return number
        return int(tf.reduce_max(_gathered(self.strategy, tf.constant([number]))))

    def same_run(self, config: RunConfig, is_finished: bool) -> bool:
        """Whether the chief finds the run finished.

        Raises:
          HlnError: This worker has other settings or data than the chief.
        """
        told = self.broadcast_object({"config": config.to_dict(), "is_finished": is_finished})
        difference = config.first_difference(RunConfig.from_dict(told["config"], "the chief"))
        if difference:
            name, own, chiefs = difference
            raise HlnError(
                f"worker {self._cluster.index} has {name} = {own!r} where the chief has "
                f"{chiefs!r}: start all workers with the same command, on the same data"
            )
        return bool(told["is_finished"])

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Ends with all workers; turns the loss of one into an error that can be read.

        Only the chief shows progress.

        Raises:
          HlnError: Another worker has ended, or cannot be reached.
        """
        try:
            with contextlib.ExitStack() as quiet:
                if not self.is_chief:
                    print(f"working with {self._cluster.workers[0]}", file=sys.stderr)
                    nowhere = quiet.enter_context(open(os.devnull, "w"))
                    quiet.enter_context(contextlib.redirect_stderr(nowhere))
                yield
                self.broadcast_object(None)  # nobody leaves while others work
        except _LOST as error:
            if not self._cluster.is_several:
                raise
            raise HlnError(
                f"another worker of {VARIABLE} has ended or cannot be reached "
                f"({type(error).__name__}): see what it says, and start all of them again with "
                f"the same command"
            ) from None

    def _from_chief(self, value: tf.Tensor) -> tf.Tensor:
        """The chief's value of a tensor that has one shape everywhere."""
        shared = _compiled_share(self.strategy, value.dtype)(tf.reshape(value, [-1]))
        return tf.reshape(self.strategy.experimental_local_results(shared)[0], value.shape)


@functools.cache
def _compiled_share(
    strategy: tf.distribute.Strategy, dtype: tf.DType
) -> Callable[[tf.Tensor], Any]:
    """Gives a vector of the first replica to all, in one graph for all lengths."""

    def share(value: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        own = tf.where(is_first, value, tf.zeros_like(value))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    return tf.function(
        lambda value: strategy.run(share, args=(value,)),
        input_signature=[tf.TensorSpec([None], dtype)],
    )


@tf.function
def _gathered(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    return strategy.gather(strategy.run(tf.identity, args=(value,)), axis=0)


def _strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """The strategy for the devices at hand; TensorFlow's default one for a single device."""
    if cluster.is_several:
        others = ", ".join(cluster.workers[: cluster.index] + cluster.workers[cluster.index + 1 :])
        print(f"waiting for the other workers of {VARIABLE}: {others}", file=sys.stderr)
        with _stopped_by_signals():
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the process at once: TensorFlow does not return to Python."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
