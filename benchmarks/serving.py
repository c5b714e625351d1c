"""`python -m benchmarks.serving`: the server against calling the SavedModel in process."""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_load import Load, rest_request, run_grpc, run_rest
from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, declared_fields, setting
from hln_tf.data.layout import Manifest, read_vocabulary
from serving.client import Client
from serving.directory import check_versions, find_versions
from serving.settings import BatchingSettings, ModelSettings, ServerSettings

SIGNATURE = "sessions"
HOST = "127.0.0.1"
MOST_SESSIONS = 10_000
START_SECONDS = 300.0

_DESCRIPTION = """\
Starts a server and asks it in a closed loop, from a process of its own, for the sessions
of a data set's test part: one client, and many at the same time, over REST and gRPC. In
the same rounds the SavedModel is called in this process with one session and with a full
batch, as tf.saved_model.load gives it. Every client waits for its answer before it asks
again. Prints a Markdown table, and ends with code 1 where a request failed.

  python -m benchmarks.serving --model_base_path models/hln --data_dir data/sample
"""


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """What to measure."""

    requests: int = setting(30_000, "requests of each transport in all", minimum=1)
    clients: int = setting(32, "clients at the same time", minimum=2, maximum=1000)
    batch_size: int = setting(32, "sessions in a direct batch", minimum=1)
    rounds: int = setting(5, "rounds in which everything takes its turn", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One turn of one way to ask.

    Attributes:
      rate: Sessions a second.
      p50: Median latency, milliseconds.
      p99: 99th percentile.
      errors: Requests that failed.
    """

    rate: float
    p50: float
    p99: float
    errors: int = 0

    @classmethod
    def from_load(cls, load: Load) -> "Measured":
        """From what clients met."""
        if not load.latencies:
            return cls(0.0, float("nan"), float("nan"), load.errors)
        p50, p99 = np.percentile(load.latencies, [50, 99]) * 1e3
        return cls(len(load.latencies) / load.seconds, float(p50), float(p99), load.errors)


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to ask for recommendations.

    Attributes:
      name: Its name in the table.
      direct: The name of the direct way that it is compared with; None for those.
      run: Takes its turn.
    """

    name: str
    direct: str | None
    run: Callable[[], Load]


def read_sessions(data_dir: Path) -> list[str]:
    """Sessions of the test part, as clients write them.

    Raises:
      HlnError: The data set is unfinished, damaged or has no test sessions.
    """
    from hln_tf.data.sessions import read_split

    manifest = Manifest.read(data_dir)
    vocabulary = read_vocabulary(data_dir, manifest)
    split = read_split(data_dir, "test")
    if not len(split):
        raise HlnError(f"{data_dir} has no test sessions to ask for")
    bounds = zip(split.offsets[:MOST_SESSIONS], split.offsets[1:], strict=False)
    return [
        manifest.separator.join(vocabulary[item - 1] for item in split.items[start:end])
        for start, end in bounds
    ]


@contextlib.contextmanager
def running_server(model: ModelSettings, more: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A server process; yields its REST and gRPC ports.

    Raises:
      HlnError: It does not start.
    """
    rest, grpc = _free_port(), _free_port()
    command = [sys.executable, "-m", "serving.serve", "--log", "warning", "--host", HOST]
    command += ["--model_base_path", model.model_base_path, "--model_name", model.name]
    command += ["--rest_api_port", str(rest), "--port", str(grpc), *more]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (_is_listening(rest) and _is_listening(grpc)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise HlnError("the server did not start; it has said why")
            time.sleep(0.2)
        yield rest, grpc
    finally:
        process.terminate()
        process.wait()


def direct_call(path: Path) -> Callable[[Sequence[str]], tuple[np.ndarray, ...]]:
    """The SavedModel's signature, from strings to arrays, in this process.

    Raises:
      HlnError: The model has no such signature.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    if SIGNATURE not in loaded.signatures:
        raise HlnError(
            f"{path} has no signature {SIGNATURE!r}, which the benchmark asks for; it has: "
            f"{', '.join(sorted(loaded.signatures))}"
        )

    def call(sessions: Sequence[str]) -> tuple[np.ndarray, ...]:
        # The signature does not keep what it was loaded with alive.
        outputs = loaded.signatures[SIGNATURE](sessions=tf.constant(sessions))
        return outputs["item_ids"].numpy(), outputs["scores"].numpy()

    return call


def run_direct(
    call: Callable[[Sequence[str]], Any], sessions: Sequence[str], size: int, seconds: float
) -> Load:
    """Calls in a loop; every session of a batch counts as a request with the call's latency."""
    latencies: list[float] = []
    began = time.perf_counter()
    turn = 0
    while (now := time.perf_counter()) - began < seconds:
        start = turn * size % max(1, len(sessions) - size)
        batch = sessions[start : start + size]
        call(batch)
        latencies += [time.perf_counter() - now] * len(batch)
        turn += 1
    return Load(latencies, 0, time.perf_counter() - began)


def grpc_request(model: str, session: str) -> bytes:
    """A serialised PredictRequest for one session."""
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, SIGNATURE
    proto = request.inputs["sessions"]
    proto.dtype = types_pb2.DT_STRING
    proto.tensor_shape.dim.add(size=1)
    proto.string_val.append(session.encode())
    return request.SerializeToString()


def check_answers(ports: tuple[int, int], model: str, call: Any, sessions: Sequence[str]) -> None:
    """Compares what is served with direct calls.

    Raises:
      HlnError: They differ.
    """
    expected, scores = call(sessions)
    rest, grpc = ports
    for url in (f"http://{HOST}:{rest}/v1/models/{model}", f"grpc://{HOST}:{grpc}/{model}"):
        with Client(url, timeout=60) as client:
            served = client.predict(SIGNATURE, {"sessions": list(sessions)})
        same = np.vectorize(str.encode, otypes=[object])(served["item_ids"]) == expected
        # Items of nearly equal scores may change places between two ways to run a graph.
        if same.mean() < 0.99 or not np.allclose(served["scores"], scores, atol=1e-3):
            raise HlnError(f"{url} answers otherwise than the SavedModel in {model}")


def measure(
    settings: BenchmarkSettings,
    model: str,
    ports: tuple[int, int],
    call: Callable[[Sequence[str]], Any],
    sessions: Sequence[str],
) -> dict[str, list[Measured]]:
    """Lets every way take its turn, once to warm up and then in rounds."""
    path = f"/v1/models/{model}:predict"
    bodies = [
        json.dumps({"signature_name": SIGNATURE, "instances": [session]}).encode()
        for session in sessions
    ]
    by_rest = [rest_request(HOST, ports[0], path, body) for body in bodies]
    by_grpc = [grpc_request(model, session) for session in sessions]
    many = max(1, settings.requests // settings.rounds)
    few = max(1, many // 10)
    one, batch = "direct, 1 session", f"direct, batches of {settings.batch_size}"
    with multiprocessing.get_context("spawn").Pool(1) as generator:

        def asks(run: Any, port: int, requests: list[bytes], clients: int) -> Callable[[], Load]:
            total = few if clients == 1 else many
            return lambda: generator.apply(run, (HOST, port, requests, clients, total))

        ways = [
            Way(one, None, lambda: run_direct(call, sessions, 1, 1.0)),
            Way(batch, None, lambda: run_direct(call, sessions, settings.batch_size, 2.0)),
        ]
        for name, run, port, requests in (
            ("REST", run_rest, ports[0], by_rest),
            ("gRPC", run_grpc, ports[1], by_grpc),
        ):
            ways.append(Way(f"{name}, 1 client", one, asks(run, port, requests, 1)))
            clients = settings.clients
            ways.append(
                Way(f"{name}, {clients} clients", batch, asks(run, port, requests, clients))
            )
        taken: dict[str, list[Measured]] = {way.name: [] for way in ways}
        for way in ways:
            way.run()
        with progress_bar("measuring", "turns", settings.rounds * len(ways)) as bar:
            for _ in range(settings.rounds):
                for way in ways:
                    bar.set_postfix_str(way.name)
                    load = way.run()
                    if load.errors:
                        print(
                            f"{way.name}: {load.errors} errors, {load.first_error}", file=sys.stderr
                        )
                    taken[way.name].append(Measured.from_load(load))
                    bar.update()
    return taken


def table(settings: BenchmarkSettings, taken: dict[str, list[Measured]]) -> str:
    """A Markdown table: medians over the rounds, the least in brackets."""
    one, batch, *served = taken
    lines = [
        "| | requests/s | p50 ms | p99 ms | overhead at p50, ms | share of direct | errors |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, turns in taken.items():
        is_single = name.endswith("1 client")
        overhead = share = ""
        if name in served and is_single:
            overhead = _spread([a.p50 - b.p50 for a, b in zip(turns, taken[one], strict=True)], 2)
        elif name in served:
            ratios = [100 * a.rate / b.rate for a, b in zip(turns, taken[batch], strict=True)]
            share = f"{_spread(ratios, 0)} %"
        cells = [
            name,
            _spread([turn.rate for turn in turns], 0),
            _spread([turn.p50 for turn in turns], 2),
            _spread([turn.p99 for turn in turns], 2),
            overhead,
            share,
            str(sum(turn.errors for turn in turns)) if name in served else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines.append(f"{settings.rounds} rounds in turn: the median, in brackets the least.")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measures and prints the table."""
    parser = cli.Parser(prog="python -m benchmarks.serving", description=_DESCRIPTION)
    parser.add_argument(
        "--model_base_path", required=True, help="directory that holds the versions"
    )
    parser.add_argument("--data_dir", required=True, type=Path, help="a prepared data set")
    cli.add_settings(parser, BenchmarkSettings, "the measurement")
    cli.add_settings(parser, BatchingSettings, "the server")
    threads = [name for name in _names(ServerSettings) if name.startswith("tensorflow_")]
    cli.add_settings(parser, ServerSettings, "TensorFlow in the server", only=threads)
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(BenchmarkSettings, flags)
    for cls in (BatchingSettings, ServerSettings):
        cli.settings_from(cls, flags)
    model = ModelSettings(model_base_path=flags.model_base_path)
    check_versions(model)
    cli.import_tensorflow()
    sessions = read_sessions(flags.data_dir)
    versions = find_versions(Path(model.model_base_path))
    call = direct_call(versions[max(versions)].path)
    given = _given([*_names(BatchingSettings), *threads], flags)
    with running_server(model, given) as ports:
        check_answers(ports, model.name, call, sessions[: settings.batch_size])
        taken = measure(settings, model.name, ports, call, sessions)
    print(table(settings, taken))
    return int(any(turn.errors for turns in taken.values() for turn in turns))


def _names(cls: type) -> list[str]:
    return [field.name for field in declared_fields(cls)]


def _given(names: Sequence[str], flags: argparse.Namespace) -> list[str]:
    """Those of the flags that were given, for another command."""
    words = []
    for name in names:
        value = getattr(flags, name, None)
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            words += [f"--{name}", str(value)]
    return words


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f})"


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5):
        return True
    return False


if __name__ == "__main__":
    sys.exit(cli.run(main))
