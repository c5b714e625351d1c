"""Batching of requests, with signatures that are Python functions."""

import asyncio
import contextlib
import functools
import gc
import threading
import types
import weakref

import numpy as np
import pytest

from serving import batching
from serving.batching import Batcher
from serving.errors import Code, ServingError, invalid
from serving.metrics import Metrics
from serving.settings import BatchingSettings


def in_loop(test):
    """Runs a coroutine function as a test."""

    @functools.wraps(test)
    def run(*arguments, **fixtures):
        asyncio.run(test(*arguments, **fixtures))

    return run


SERVABLE = types.SimpleNamespace(name="model")


class Doubler:
    """A signature that doubles `x`, refuses negative numbers and runs once its gate is open."""

    def __init__(self, scalar=False):
        self.inputs = {"x": None}
        self.batches = True
        self.calls = []
        self.gate = threading.Event()
        self.busy = threading.Event()
        self._scalar = scalar

    def run(self, inputs, seconds=None):
        self.seconds = seconds
        self.busy.set()
        assert self.gate.wait(60)
        self.calls.append(inputs["x"].tolist())
        if inputs["x"].min() < 0:
            raise invalid("negative")
        return {"y": inputs["x"].sum() if self._scalar else inputs["x"] * 2}


@contextlib.asynccontextmanager
async def batcher(max_batch_threads=1, **settings):
    settings["max_batch_threads"] = max_batch_threads
    made = Batcher(BatchingSettings(**settings), Metrics())
    try:
        yield made
    finally:
        assert await asyncio.to_thread(made.close, 60)


async def occupied(made, signature):
    """A first request that occupies the only thread."""
    first = asyncio.create_task(ask(made, signature, [0]))
    await asyncio.to_thread(signature.busy.wait, 60)
    return first


async def ask(made, signature, values, timeout=60):
    try:
        outputs = await made.run(SERVABLE, signature, {"x": np.array(values)}, timeout)
    except ServingError as error:
        return error.code
    return outputs["y"].tolist()


async def ask_all(made, signature, requests):
    first = await occupied(made, signature)
    tasks = [asyncio.create_task(ask(made, signature, values)) for values in requests]
    await asyncio.sleep(0)
    signature.gate.set()
    assert await first == ([0] if not signature._scalar else 0)
    return await asyncio.gather(*tasks)


@in_loop
async def test_requests_merge_while_the_thread_is_busy():
    signature = Doubler()
    async with batcher(max_batch_size=4) as made:
        requests = [[1], [2, 3], [[4]], [5], [6]]
        answers = await ask_all(made, signature, requests)
    assert answers == [[2], [4, 6], [[8]], [10], [12]]
    # The one of another shape runs alone, and no batch has more than four rows.
    assert signature.calls == [[0], [1, 2, 3, 5], [[4]], [6]]


@in_loop
async def test_nothing_merges_without_batching():
    signature = Doubler()
    async with batcher(enable_batching=False) as made:
        assert await ask_all(made, signature, [[1], [2]]) == [[2], [4]]
    assert signature.calls == [[0], [1], [2]]


@pytest.mark.parametrize("enable_batching", [True, False])
@in_loop
async def test_a_request_with_more_rows_than_a_batch_is_refused(enable_batching):
    signature = Doubler()
    async with batcher(max_batch_size=2, enable_batching=enable_batching) as made:
        answers = await ask_all(made, signature, [[1, 2], [2, 3, 4], [5]])
    assert answers == [[2, 4], Code.INVALID_ARGUMENT, [10]]
    assert signature.calls == [[0], [1, 2], [5]]


@in_loop
async def test_only_the_invalid_request_of_a_batch_fails():
    signature = Doubler()
    async with batcher() as made:
        answers = await ask_all(made, signature, [[1], [2], [-3], [4]])
    assert answers == [[2], [4], Code.INVALID_ARGUMENT, [8]]
    # Halving finds it, so that a large batch is not run again one by one.
    assert signature.calls[1:] == [[1, 2, -3, 4], [1, 2], [-3, 4], [-3], [4]]


@in_loop
async def test_outputs_without_a_batch_dimension_are_computed_alone():
    signature = Doubler(scalar=True)
    async with batcher() as made:
        assert await ask_all(made, signature, [[1, 2], [3]]) == [3, 3]
        assert not signature.batches


@in_loop
async def test_signatures_without_a_batch_dimension_never_merge():
    signature = Doubler()
    signature.batches = False
    async with batcher(max_batch_size=2) as made:
        # Nor is the size of their inputs limited by that of a batch.
        assert await ask_all(made, signature, [[1], [2, 3, 4]]) == [[2], [4, 6, 8]]
    assert signature.calls == [[0], [1], [2, 3, 4]]


@in_loop
async def test_a_full_queue_refuses():
    signature = Doubler()
    async with batcher(max_batch_size=1, max_enqueued_batches=2) as made:
        answers = await ask_all(made, signature, [[1], [2], [3]])
    assert answers == [[2], [4], Code.RESOURCE_EXHAUSTED]


@in_loop
async def test_a_request_past_its_deadline_is_dropped():
    signature = Doubler()
    async with batcher() as made:
        first = await occupied(made, signature)
        late = await ask(made, signature, [1], timeout=0.01)
        signature.gate.set()
        await first
    assert late is Code.DEADLINE_EXCEEDED
    assert signature.calls == [[0]]


@in_loop
async def test_a_cancelled_request_is_dropped():
    signature = Doubler()
    async with batcher() as made:
        first = await occupied(made, signature)
        task = asyncio.create_task(ask(made, signature, [1]))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        signature.gate.set()
        await first
    assert signature.calls == [[0]]


@in_loop
async def test_a_full_batch_runs_before_its_timeout():
    signature = Doubler()
    signature.gate.set()
    async with batcher(max_batch_size=2, batch_timeout_micros=60_000_000) as made:
        tasks = [asyncio.create_task(ask(made, signature, [value])) for value in (1, 2)]
        assert await asyncio.gather(*tasks) == [[2], [4]]
    assert signature.calls == [[1, 2]]


@in_loop
async def test_a_single_client_does_not_wait(monkeypatch):
    monkeypatch.setattr(batching, "WAIT_FRACTION", 1e9)
    monkeypatch.setattr(batching, "MAX_WAIT_SECONDS", 1e9)
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        for value in range(3):
            assert await ask(made, signature, [value]) == [2 * value]


@in_loop
async def test_a_batch_waits_for_as_many_rows_as_were_just_answered(monkeypatch):
    monkeypatch.setattr(batching, "WAIT_FRACTION", 1e9)
    monkeypatch.setattr(batching, "MAX_WAIT_SECONDS", 1e9)
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        await ask(made, signature, [1, 2])
        first = asyncio.create_task(ask(made, signature, [3]))
        await asyncio.sleep(0.05)
        assert signature.calls == [[1, 2]]
        assert await ask(made, signature, [4]) == [8]
        assert await first == [6]
    assert signature.calls == [[1, 2], [3, 4]]


@in_loop
async def test_a_batch_waits_for_a_fraction_of_the_last_ones_duration(monkeypatch):
    monkeypatch.setattr(batching, "WAIT_FRACTION", 0.0)
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        await ask(made, signature, [1, 2])
        assert await ask(made, signature, [3]) == [6]


@in_loop
async def test_a_batch_waits_for_its_own_signature_only(monkeypatch):
    monkeypatch.setattr(batching, "WAIT_FRACTION", 1e9)
    monkeypatch.setattr(batching, "MAX_WAIT_SECONDS", 1e9)
    signature, other = Doubler(), Doubler()
    signature.gate.set()
    other.gate.set()
    async with batcher() as made:
        await ask(made, signature, [1, 2])
        assert await ask(made, other, [3]) == [6]


@in_loop
async def test_a_batch_starts_before_its_earliest_deadline():
    signature = Doubler()
    signature.gate.set()
    async with batcher(batch_timeout_micros=600_000_000) as made:
        patient = asyncio.create_task(ask(made, signature, [1], timeout=600))
        await asyncio.sleep(0.05)
        assert await ask(made, signature, [2], timeout=2) == [4]
        assert await patient == [2]
    assert signature.calls == [[1, 2]]


@in_loop
async def test_the_wait_is_limited_however_long_the_last_batch_took(monkeypatch):
    monkeypatch.setattr(batching, "WAIT_FRACTION", 1e9)
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        await ask(made, signature, [1, 2])
        assert await ask(made, signature, [3], timeout=600) == [6]


@in_loop
async def test_closing_does_not_wait_for_a_batch_that_still_runs():
    signature = Doubler()
    async with batcher() as made:
        first = await occupied(made, signature)
        assert not await asyncio.to_thread(made.close, 0.01)
        signature.gate.set()
        assert await first == [0]


@in_loop
async def test_an_idle_thread_has_no_reference_to_its_last_batch():
    signature = Doubler()
    signature.gate.set()
    alive = weakref.ref(signature)
    async with batcher() as made:
        assert await ask(made, signature, [1]) == [2]
        del signature
        for _ in range(600):
            gc.collect()
            if alive() is None:
                break
            await asyncio.sleep(0.1)
        assert alive() is None


@in_loop
async def test_an_unexpected_error_fails_its_own_request_only():
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        broken = types.SimpleNamespace(inputs={"x": None}, batches=True, run=lambda *_: 1 / 0)
        assert await ask(made, broken, [1]) is Code.INTERNAL
        assert await ask(made, signature, [1]) == [2]


def batch_threads():
    return {thread for thread in threading.enumerate() if thread.name == "batch"}


@in_loop
async def test_a_quick_request_does_not_wait_for_slow_ones():
    slow, quick = Doubler(), Doubler()
    quick.gate.set()
    before = batch_threads()
    async with batcher(max_batch_threads=3, enable_batching=False) as made:
        blocked = [asyncio.create_task(ask(made, slow, [value])) for value in (1, 2)]
        await asyncio.to_thread(slow.busy.wait, 60)
        assert await ask(made, quick, [3]) == [6]
        slow.gate.set()
        assert await asyncio.gather(*blocked) == [[2], [4]]
        # Only the threads that were there from the start remain.
        for _ in range(600):
            if len(batch_threads() - before) == 1:
                break
            await asyncio.sleep(0.1)
        assert len(batch_threads() - before) == 1


@in_loop
async def test_a_batch_runs_until_the_last_deadline_of_its_requests():
    signature = Doubler()
    signature.gate.set()
    async with batcher() as made:
        await ask(made, signature, [1], timeout=100)
        assert 90 < signature.seconds <= 100
        await ask(made, signature, [1], timeout=None)
        assert signature.seconds is None
