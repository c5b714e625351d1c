"""Training on several devices and by several workers, with the code of one.

The same code runs on one device, on the GPUs of a machine and on those of the
workers that TF_CONFIG names: each replica takes its rows of the global batch
(`hln_tf.layers.sharding`), gradients are summed, and all decisions follow from
numbers that are equal everywhere.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.training.cluster import VARIABLE, Cluster
from hln_tf.training.run_config import RunConfig

# Checks for a signal of which one blocks until all workers have reached it.
CHECKS_BETWEEN_REDUCTIONS = 20

_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class Workers:
    """The workers of a training, of which this process is one; most often the only one.

    The methods are collective: every worker must call them in the same order.
    In a single process they return their argument.

    Args:
      cluster: The workers and which of them this is.
    """

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._cluster = cluster or Cluster()
        self.is_chief = self._cluster.is_chief
        self.strategy = _strategy(self._cluster)

    def broadcast_object(self, content: Any) -> Any:
        """Broadcast the chief's `content`, plain values for JSON, to all workers."""
        if not self._cluster.is_several:
            return content
        own = np.frombuffer(json.dumps(content).encode(), np.uint8).astype(np.int32)
        size = int(self._from_chief(tf.constant(len(own))))
        received = self._from_chief(tf.constant(np.resize(own, size)))
        return json.loads(received.numpy().astype(np.uint8).tobytes())

    def broadcast_variables(self, variables: Iterable[tf.Variable]) -> None:
        """Broadcast the chief's values of variables to all workers."""
        if self._cluster.is_several:
            for variable in variables:
                variable.assign(self._from_chief(tf.convert_to_tensor(variable)))

    def all_reduce_max(self, number: int) -> int:
        """Return the maximum of a number over all workers."""
        if not self._cluster.is_several:
            return number
        return int(tf.reduce_max(_gathered(self.strategy, tf.constant([number]))))

    def stop_on_signal(self) -> StopOnSignal:
        """Create the context in which a signal to one worker stops all at the same step."""
        interval = CHECKS_BETWEEN_REDUCTIONS if self._cluster.is_several else 1
        return StopOnSignal(self.all_reduce_max, interval)

    def same_run(self, config: RunConfig, is_finished: bool) -> tuple[RunConfig, bool]:
        """Check that all workers have the chief's run; return its settings and `is_finished`.

        Raises:
          HlnError: This worker has other settings or data than the chief.
        """
        chief = self.broadcast_object({"config": config.to_dict(), "is_finished": is_finished})
        of_chief = RunConfig.from_dict(chief["config"], "the chief")
        config = config.settled(of_chief)
        difference = config.first_difference(of_chief)
        if difference:
            name, own, chiefs = difference
            raise HlnError(
                f"worker {self._cluster.index} has {name} = {own!r} where the chief has "
                f"{chiefs!r}: start all workers with the same command, on the same data"
            )
        return config, bool(chief["is_finished"])

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """End together with all workers; turn the loss of one into a readable error.

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
                self.broadcast_object(None)  # a barrier: no worker leaves while others train
        except _LOST as error:
            if not self._cluster.is_several:
                raise
            raise HlnError(
                f"another worker of {VARIABLE} has ended or cannot be reached "
                f"({type(error).__name__}): see what it says, and start all of them again with "
                f"the same command"
            ) from None

    def _from_chief(self, value: tf.Tensor) -> tf.Tensor:
        """Broadcast the chief's value of a tensor that has one shape everywhere."""
        values = _compiled_broadcast(self.strategy, value.dtype)(tf.reshape(value, [-1]))
        return tf.reshape(self.strategy.experimental_local_results(values)[0], value.shape)


@functools.cache
def _compiled_broadcast(
    strategy: tf.distribute.Strategy, dtype: tf.DType
) -> Callable[[tf.Tensor], Any]:
    """Compile the broadcast of a vector from the first replica, in one graph for all lengths."""

    def broadcast(value: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        own = tf.where(is_first, value, tf.zeros_like(value))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    return tf.function(
        lambda value: strategy.run(broadcast, args=(value,)),
        input_signature=[tf.TensorSpec([None], dtype)],
    )


@tf.function
def _gathered(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    return strategy.gather(strategy.run(tf.identity, args=(value,)), axis=0)


def _strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """Choose the strategy for the available devices; TensorFlow's default for a single one."""
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
    """Let SIGINT and SIGTERM end the process at once: TensorFlow does not return to Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
