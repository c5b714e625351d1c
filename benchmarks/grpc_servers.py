"""The cost of a request in kinds of gRPC servers: `python -m benchmarks.grpc_servers`."""

import dataclasses
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from multiprocessing.connection import Connection
from typing import Any

import grpc
import uvloop

from benchmarks.load_generator import run_grpc
from benchmarks.timing import best_and_median
from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, setting

_HOST = "127.0.0.1"
_METHOD = ("benchmark.Echo", "Echo")
_MESSAGE = b"x" * 100

_DESCRIPTION = """\
Starts gRPC servers with one method, which returns its request: the threaded server, and the
server of an event loop in one, two and four threads of a process on one port. Clients send
them requests in turn, from a process of its own. Prints a Markdown table of the processor time
of the server for each request, and of the rate.

  python -m benchmarks.grpc_servers --requests 6000
"""


@dataclasses.dataclass(frozen=True)
class Load:
    """Amount of work that is measured."""

    requests: int = setting(6000, "requests of each server in each round", minimum=100)
    clients: int = setting(32, "concurrent clients", minimum=1, maximum=1000)
    rounds: int = setting(5, "rounds; each measures every server once", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


def serve_threads(threads: int, ready: Connection) -> None:
    """Serve by gRPC's threaded server until the process ends; send the port when it is ready."""
    server = grpc.server(futures.ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers((_handler(lambda data, context: data),))
    ready.send(server.add_insecure_port(f"{_HOST}:0"))
    server.start()
    server.wait_for_termination()


def serve_event_loops(loops: int, ready: Connection) -> None:
    """Serve by an event loop in each of some threads, which share a port, as `serve_threads`."""

    async def serve(port: int, started: Callable[[int], Any]) -> None:
        async def echo(data: bytes, context: Any) -> bytes:
            return data

        server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        server.add_generic_rpc_handlers((_handler(echo),))
        bound = server.add_insecure_port(f"{_HOST}:{port}")
        await server.start()
        started(bound)
        await server.wait_for_termination()

    port = 0
    for _ in range(loops):
        bound: futures.Future[int] = futures.Future()
        thread = threading.Thread(
            target=lambda port=port, bound=bound: uvloop.run(serve(port, bound.set_result))
        )
        thread.start()
        port = bound.result()
    ready.send(port)


SERVERS: Mapping[str, tuple[Callable[[int, Connection], None], int]] = {
    "8 threads": (serve_threads, 8),
    "32 threads": (serve_threads, 32),
    "1 event loop": (serve_event_loops, 1),
    "2 event loops": (serve_event_loops, 2),
    "4 event loops": (serve_event_loops, 4),
}


def main(arguments: Sequence[str]) -> int:
    """Measure and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: A request fails.
    """
    parser = cli.Parser(prog="python -m benchmarks.grpc_servers", description=_DESCRIPTION)
    cli.add_settings(parser, Load, "the measurement")
    load = cli.settings_from(Load, parser.parse_args(arguments))
    micros: dict[str, list[float]] = {name: [] for name in SERVERS}
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    context = multiprocessing.get_context("spawn")
    processes = []
    try:
        ports = {}
        for name, (serve, size) in SERVERS.items():
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=serve, args=(size, there), daemon=True)
            process.start()
            processes.append(process)
            ports[name] = here.recv()
        with (
            context.Pool(1) as generator,
            progress_bar("measuring", "runs", load.rounds * len(SERVERS)) as bar,
        ):
            for _ in range(load.rounds):
                for process, name in zip(processes, SERVERS, strict=True):
                    before = _processor_seconds(process.pid)
                    sent = (_HOST, ports[name], [_MESSAGE], load.clients, load.requests)
                    answered = generator.apply(run_grpc, (*sent, "/" + "/".join(_METHOD)))
                    if answered.errors:
                        raise HlnError(f"{answered.errors} requests failed: {answered.first_error}")
                    spent = _processor_seconds(process.pid) - before
                    micros[name].append(spent / load.requests * 1e6)
                    rates[name].append(load.requests / answered.seconds)
                    bar.update()
    finally:
        for process in processes:
            process.kill()
    print("| server | processor time, µs (best / median) | requests/s (median) |")
    print("| --- | ---: | ---: |")
    for name in SERVERS:
        rate = sorted(rates[name])[len(rates[name]) // 2]
        print(f"| {name} | {best_and_median(micros[name], 0)} | {rate:,.0f} |")
    return 0


def _handler(method: Any) -> grpc.GenericRpcHandler:
    handlers = {_METHOD[1]: grpc.unary_unary_rpc_method_handler(method)}
    return grpc.method_handlers_generic_handler(_METHOD[0], handlers)


def _processor_seconds(pid: int | None) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    # Time in user and in system mode, as proc(5) counts its fields from the name on.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(cli.run(main))
