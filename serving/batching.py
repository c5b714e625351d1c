"""Dynamic batching: requests wait in a bounded queue, merge, and run in worker threads.

A batch consists of the requests that arrived while the threads were busy. Most
clients send their next request a little after the response to the last one.
Hence a thread that has answered several requests waits until as many are in
the queue, for a fraction of the time that the batch took and at most a few
milliseconds: one full batch costs less than two halves. A single client never
waits.

A batch may also be slow. While no thread has taken a batch for a moment although
some wait, further threads start, up to a limit, so that a quick request does not
wait for slow ones. TensorFlow stops a batch when the last deadline of its requests
has passed, except for the operation that runs at that time: no one can stop a
kernel.
"""

import asyncio
import collections
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from serving.errors import Code, ServingError, invalid
from serving.metrics import Metrics
from serving.servable import Servable, Signature
from serving.settings import BatchingSettings
from serving.tensors import Tensors

_FULL = "The batch scheduling queue to which this task was submitted is full"
# A batch waits to become as large as the last one for this fraction of the time that it took,
WAIT_FRACTION = 0.5
# and at most for so many seconds, however long it took.
MAX_WAIT_SECONDS = 0.005
# Without a batch taken for so long, the threads are busy with slow ones. Much more than a batch
# of a quick model takes on a busy machine: further threads would make its batches thinner.
SLOW_SECONDS = 0.5
_LATE = "The deadline passed before the response was ready"


@dataclasses.dataclass(eq=False, slots=True)
class _Task:
    servable: Servable
    signature: Signature
    inputs: Tensors
    rows: int | None  # None where the inputs do not share a batch dimension
    deadline: float
    future: "asyncio.Future[Tensors]"


class _Batch:
    """Tasks that run as one, with the time at which the first arrived."""

    def __init__(self, task: _Task) -> None:
        self.tasks = [task]
        self.rows = task.rows or 1
        self.created = time.monotonic()
        self.deadline = task.deadline

    def add(self, task: _Task) -> None:
        self.tasks.append(task)
        self.rows += task.rows or 0
        self.deadline = min(self.deadline, task.deadline)

    @property
    def signature(self) -> Signature:
        """Signature that all tasks share."""
        return self.tasks[0].signature

    @property
    def latest_start(self) -> float:
        """Time by which the batch starts, half of the way to its earliest deadline."""
        return self.created + (self.deadline - self.created) / 2


_Outcome = tuple[_Task, Tensors | ServingError]


class Batcher:
    """A queue of requests and the threads that run them in batches.

    Args:
      settings: Sizes, limits and threads.
      metrics: Counts the batches.
    """

    def __init__(self, settings: BatchingSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._waiting: collections.deque[_Batch] = collections.deque()
        self._open: dict[object, _Batch] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._expected: int | None = None  # an id rather than a reference to an old version
        self._expected_rows = 0
        self._expected_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._idle = 0
        self._taken = 0.0  # when a thread took the last batch
        self._check: asyncio.TimerHandle | None = None
        self._threads: set[threading.Thread] = set()
        for _ in range(settings.num_batch_threads):
            self._start_thread()

    async def run(
        self, servable: Servable, signature: Signature, inputs: Tensors, timeout: float | None
    ) -> Tensors:
        """Run a signature, possibly in one batch with other requests.

        Args:
          servable: The version; it must stay acquired meanwhile.
          signature: One of its signatures.
          inputs: Arrays by name.
          timeout: Seconds, None for no deadline.

        Raises:
          ServingError: INVALID_ARGUMENT for more rows than a batch may have,
            RESOURCE_EXHAUSTED if the queue is full, DEADLINE_EXCEEDED, or the
            error of the graph.
        """
        seconds = float("inf") if timeout is None else timeout
        task = _Task(
            servable,
            signature,
            inputs,
            _rows(inputs),
            time.monotonic() + seconds,
            self._loop.create_future(),
        )
        self._enqueue(task)
        if timeout is None:
            return await task.future
        timer = self._loop.call_later(timeout, _expire, task)
        try:
            return await task.future
        finally:
            timer.cancel()

    def close(self, timeout: float) -> bool:
        """End the threads once the queue is empty.

        Args:
          timeout: Seconds; a thread that takes longer is abandoned.

        Returns:
          Whether all threads have ended.
        """
        until = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="batch", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _check_slow(self) -> None:
        """Start a further thread if all are busy with slow batches, and look again later."""
        self._check = None
        with self._changed:
            if not self._waiting or self._closed:
                return
            most = max(self._settings.num_batch_threads, self._settings.max_batch_threads)
            is_slow = time.monotonic() - self._taken >= SLOW_SECONDS
            if is_slow and not self._idle and len(self._threads) < most:
                self._start_thread()
        self._check = self._loop.call_later(SLOW_SECONDS, self._check_slow)

    def _enqueue(self, task: _Task) -> None:
        limit = self._settings.max_batch_size
        size = max((len(array) for array in task.inputs.values() if array.ndim), default=0)
        if task.signature.batches and size > limit:
            raise invalid(
                f"Task size {size} is larger than maximum input batch size {limit} "
                "(--max_batch_size): send fewer rows at a time"
            )
        key = self._key(task)
        with self._changed:
            batch = self._open.get(key) if key is not None else None
            if batch is not None and batch.rows + (task.rows or 0) <= limit:
                deadline = batch.deadline
                batch.add(task)
                # The batch is due now, or earlier than a waiting thread expects.
                if batch.rows >= min(self._expected_rows, limit) or task.deadline < deadline:
                    self._changed.notify()
                return
            if len(self._waiting) >= self._settings.max_enqueued_batches:
                raise ServingError(Code.RESOURCE_EXHAUSTED, _FULL)
            batch = _Batch(task)
            self._waiting.append(batch)
            if key is not None:
                self._open[key] = batch
            self._changed.notify()
            if not self._idle and self._check is None:
                self._check = self._loop.call_later(SLOW_SECONDS, self._check_slow)

    def _key(self, task: _Task) -> object:
        """Return the key that requests must share to merge; None for one that runs alone."""
        if not self._settings.enable_batching or task.rows is None or not task.signature.batches:
            return None
        shapes = tuple(array.shape[1:] for array in task.inputs.values())
        return (id(task.signature), shapes)

    def _take(self) -> _Batch | None:
        """Wait for the next batch to run; None after the last one."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [self._due(batch) for batch in self._waiting]
                for batch, time_due in zip(self._waiting, due, strict=True):
                    if time_due <= now:
                        self._waiting.remove(batch)
                        for key in [k for k, value in self._open.items() if value is batch]:
                            del self._open[key]
                        self._taken = now
                        return batch
                is_further = len(self._threads) > self._settings.num_batch_threads
                if self._closed or (is_further and not due):
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                self._changed.wait(min(due) - now if due else None)
                self._idle -= 1

    def _due(self, batch: _Batch) -> float:
        """Return the time from which a batch may run."""
        if self._closed or batch.rows >= self._settings.max_batch_size:
            return 0.0
        due = batch.created + self._settings.batch_timeout_micros / 1e6
        is_expected = id(batch.signature) == self._expected and batch.rows < self._expected_rows
        if len(self._waiting) == 1 and is_expected:
            due = max(due, self._expected_until)
        return min(due, batch.latest_start)

    def _expect(self, signature: Signature, answered: int, seconds: float) -> None:
        """Expect the answered clients to send as many rows again, on top of those that wait."""
        if not self._settings.enable_batching:
            return
        with self._changed:
            waiting = [batch.rows for batch in self._waiting if batch.signature is signature]
            self._expected, self._expected_rows = id(signature), answered + sum(waiting)
            self._expected_until = time.monotonic() + min(WAIT_FRACTION * seconds, MAX_WAIT_SECONDS)

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            self._run_batch(batch)
            # A waiting thread must not hold a reference to an unloaded version.
            del batch

    def _run_batch(self, batch: _Batch) -> None:
        started = time.monotonic()
        # The event loop has answered those that are late or cancelled.
        live = [task for task in batch.tasks if not task.future.done() and task.deadline > started]
        if not live:
            return
        outcomes = _run_together(live, max(task.deadline for task in live))
        ran = time.monotonic() - started
        # Before the responses are sent, so that no request of the queue is a reaction to them.
        self._expect(batch.signature, sum(task.rows or 1 for task in live), ran)
        self._loop.call_soon_threadsafe(self._deliver, outcomes, started - batch.created, ran)

    def _deliver(self, outcomes: Sequence[_Outcome], waited: float, ran: float) -> None:
        for task, outcome in outcomes:
            if task.future.done():
                continue
            if isinstance(outcome, ServingError):
                task.future.set_exception(outcome)
            else:
                task.future.set_result(outcome)
        name = outcomes[0][0].servable.name
        self._metrics.batch_size.add(sum(task.rows or 1 for task, _ in outcomes), name)
        self._metrics.queue_time.add(waited * 1e6, name)
        self._metrics.runtime_latency.add(ran * 1e6, name, "Predict", "TF1")


def _expire(task: _Task) -> None:
    if not task.future.done():
        task.future.set_exception(ServingError(Code.DEADLINE_EXCEEDED, _LATE))


def _run_together(tasks: Sequence[_Task], deadline: float) -> list[_Outcome]:
    """Run tasks as one; if that fails, in halves, so that only the invalid one fails."""
    signature = tasks[0].signature
    if len(tasks) == 1:
        return [(tasks[0], _run(signature, tasks[0].inputs, deadline))]
    merged = {
        name: np.concatenate([task.inputs[name] for task in tasks]) for name in signature.inputs
    }
    outputs = _run(signature, merged, deadline)
    if not isinstance(outputs, ServingError):
        sizes = [task.rows or 0 for task in tasks]
        if all(array.ndim and len(array) == sum(sizes) for array in outputs.values()):
            return list(zip(tasks, _split(outputs, sizes), strict=True))
        signature.batches = False
    elif outputs.code is Code.DEADLINE_EXCEEDED:
        return [(task, outputs) for task in tasks]
    half = len(tasks) // 2
    return _run_together(tasks[:half], deadline) + _run_together(tasks[half:], deadline)


def _run(signature: Signature, inputs: Tensors, deadline: float) -> Tensors | ServingError:
    seconds = None if deadline == float("inf") else deadline - time.monotonic()
    try:
        return signature.run(inputs, seconds)
    except ServingError as error:
        return error
    except Exception as error:
        # No error of a request may end the thread.
        return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _split(outputs: Tensors, sizes: Sequence[int]) -> Iterator[Tensors]:
    start = 0
    for size in sizes:
        yield {name: array[start : start + size] for name, array in outputs.items()}
        start += size


def _rows(inputs: Tensors) -> int | None:
    """Return the size of the batch dimension that all inputs share, None without one."""
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else None
