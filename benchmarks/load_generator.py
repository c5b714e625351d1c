"""A closed-loop load generator, light enough to share two cores with the server.

Requests are serialised in advance, and only the status of a response is parsed.
It runs in a process of its own.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import uvloop

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_TIMEOUT = 60.0


@dataclasses.dataclass(frozen=True)
class Load:
    """Responses that clients received.

    Attributes:
      latencies: Seconds of each request that succeeded.
      errors: Number of requests that failed.
      seconds: From the first request to the last response.
      first_error: Message of the first failure.
    """

    latencies: list[float]
    errors: int
    seconds: float
    first_error: str = ""


def rest_request(host: str, port: int, path: str, body: bytes) -> bytes:
    """Serialise a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_rest(host: str, port: int, requests: Sequence[bytes], clients: int, total: int) -> Load:
    """Send requests over keep-alive connections, each after the response to the last.

    Args:
      host: The server's address.
      port: Its REST port.
      requests: Serialised requests, sent in turn; see `rest_request`.
      clients: Number of concurrent connections.
      total: Number of requests of all clients.
    """
    return uvloop.run(_run_rest(host, port, requests, clients, total))


def run_grpc(
    host: str,
    port: int,
    requests: Sequence[bytes],
    clients: int,
    total: int,
    method: str = PREDICT,
) -> Load:
    """Send serialised messages, by default PredictRequests, over one channel; see `run_rest`."""
    return uvloop.run(_run_grpc(host, port, requests, clients, total, method))


class _Connection(asyncio.Protocol):
    """A client that sends the next request as soon as a response is complete."""

    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self._requests = requests
        self._load = load
        self._buffer = b""
        self._failures: list[str] = []
        self._sent = 0.0
        self.done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        start = head.index(b"content-length: ") + 16
        if len(body) < int(head[start : start + 10].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        if head.startswith(b"HTTP/1.1 200"):
            self._load.latencies.append(time.perf_counter() - self._sent)
        else:
            self._failures.append(body.decode(errors="replace"))
        self._send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._failures.append(f"connection lost: {error}")
            self.done.set_result(self._failures)

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(self._failures)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


async def _run_rest(
    host: str, port: int, requests: Sequence[bytes], clients: int, total: int
) -> Load:
    load = Load([], 0, 0.0)
    queue = _in_turn(requests, total)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connections = [
        (await loop.create_connection(lambda: _Connection(queue, load), host, port))[1]
        for _ in range(clients)
    ]
    failures = await asyncio.gather(*(each.done for each in connections))
    return _finished(load, list(itertools.chain(*failures)), started)


async def _run_grpc(
    host: str, port: int, requests: Sequence[bytes], clients: int, total: int, method: str
) -> Load:
    load = Load([], 0, 0.0)
    queue = _in_turn(requests, total)
    failures: list[str] = []

    async def client(call: grpc.aio.UnaryUnaryMultiCallable) -> None:
        for request in queue:
            sent = time.perf_counter()
            try:
                await call(request, timeout=_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                failures.append(f"{error.code().name}: {error.details()}")
            else:
                load.latencies.append(time.perf_counter() - sent)

    started = time.perf_counter()
    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        call = channel.unary_unary(method)
        await asyncio.gather(*(client(call) for _ in range(clients)))
    return _finished(load, failures, started)


def _in_turn(requests: Sequence[bytes], total: int) -> Iterator[bytes]:
    return (requests[number % len(requests)] for number in range(total))


def _finished(load: Load, failures: list[str], started: float) -> Load:
    return dataclasses.replace(
        load,
        errors=len(failures),
        seconds=time.perf_counter() - started,
        first_error=failures[0] if failures else "",
    )
