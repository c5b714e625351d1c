"""Serving throughput and latency: `python -m benchmarks.serving --model_base_path DIR`."""

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

from benchmarks.load_generator import Load, rest_request, run_grpc, run_rest
from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, declared_fields, setting
from hln_tf.data.layout import Manifest, read_vocabulary
from serving import Client
from serving.directory import check_versions, find_versions
from serving.settings import BatchingSettings, ModelSettings, ServerSettings

SIGNATURE = "sessions"
HOST = "127.0.0.1"
MAX_SESSIONS = 10_000
STARTUP_SECONDS = 300.0

_DESCRIPTION = """\
Starts a server and sends it requests in a closed loop, from a process of its own, for the
sessions of a data set's test split: from one client and from concurrent clients, over REST
and gRPC. The same rounds call the SavedModel that tf.saved_model.load returns in this
process, with one session and with a full batch. Every client waits for the response before
its next request. Prints a Markdown table; the exit code is 1 if a request failed.

  python -m benchmarks.serving --model_base_path models/hln --data_dir data/sample
"""


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """Amount of work that is measured."""

    requests: int = setting(30_000, "requests of each transport in all rounds", minimum=1)
    clients: int = setting(32, "concurrent clients", minimum=2, maximum=1000)
    batch_size: int = setting(32, "sessions in a batch of the direct calls", minimum=1)
    rounds: int = setting(5, "rounds; each measures every variant once", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Rate and latency of one round of one variant.

    Attributes:
      rate: Sessions per second.
      p50: Median latency in milliseconds.
      p99: 99th percentile of the latency in milliseconds.
      errors: Number of requests that failed.
    """

    rate: float
    p50: float
    p99: float
    errors: int = 0

    @classmethod
    def from_load(cls, load: Load) -> "Measurement":
        """Summarise the responses of a load."""
        if not load.latencies:
            return cls(0.0, float("nan"), float("nan"), load.errors)
        p50, p99 = np.percentile(load.latencies, [50, 99]) * 1e3
        return cls(len(load.latencies) / load.seconds, float(p50), float(p99), load.errors)


def read_sessions(data_dir: Path) -> list[str]:
    """Read the sessions of the test split, as clients send them.

    Raises:
      HlnError: The data set is unfinished, damaged or has no test sessions.
    """
    from hln_tf.data.sessions import read_split

    manifest = Manifest.read(data_dir)
    vocabulary = read_vocabulary(data_dir, manifest)
    split = read_split(data_dir, "test")
    if not len(split):
        raise HlnError(f"{data_dir} has no test sessions")
    bounds = zip(split.offsets[:MAX_SESSIONS], split.offsets[1:], strict=False)
    return [
        manifest.separator.join(vocabulary[item - 1] for item in split.items[start:end])
        for start, end in bounds
    ]


@contextlib.contextmanager
def running_server(model: ModelSettings, flags: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Start a server process and stop it at the end.

    Args:
      model: The model to serve.
      flags: Flags of `serving.serve`.

    Yields:
      The REST port, the gRPC port and the id of the process.

    Raises:
      HlnError: The server does not start.
    """
    rest, grpc = _free_port(), _free_port()
    command = [sys.executable, "-m", "serving.serve", "--log", "warning", "--host", HOST]
    command += ["--model_base_path", model.model_base_path, "--model_name", model.name]
    command += ["--rest_api_port", str(rest), "--port", str(grpc), *flags]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + STARTUP_SECONDS
        while not (_is_listening(rest) and _is_listening(grpc)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise HlnError("the server did not start; its message is above")
            time.sleep(0.2)
        yield rest, grpc, process.pid
    finally:
        process.terminate()
        process.wait()


def direct_call(path: Path) -> Callable[[Sequence[str]], tuple[np.ndarray, ...]]:
    """Load the SavedModel's signature as a function from strings to arrays.

    Raises:
      HlnError: The model has no such signature.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    if SIGNATURE not in loaded.signatures:
        raise HlnError(
            f"{path} has no signature {SIGNATURE!r}, which the benchmark calls; it has: "
            f"{', '.join(sorted(loaded.signatures))}"
        )

    def call(sessions: Sequence[str]) -> tuple[np.ndarray, ...]:
        # The closure refers to `loaded`: a signature alone does not keep its variables alive.
        outputs = loaded.signatures[SIGNATURE](sessions=tf.constant(sessions))
        return outputs["item_ids"].numpy(), outputs["scores"].numpy()

    return call


def run_direct(
    call: Callable[[Sequence[str]], Any], sessions: Sequence[str], size: int, seconds: float
) -> Load:
    """Call in a loop; each session of a batch counts as a request with the call's latency."""
    latencies: list[float] = []
    started = time.perf_counter()
    calls = 0
    while (now := time.perf_counter()) - started < seconds:
        start = calls * size % max(1, len(sessions) - size)
        batch = sessions[start : start + size]
        call(batch)
        latencies += [time.perf_counter() - now] * len(batch)
        calls += 1
    return Load(latencies, 0, time.perf_counter() - started)


def grpc_request(model: str, session: str) -> bytes:
    """Serialise a PredictRequest for one session."""
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, SIGNATURE
    proto = request.inputs["sessions"]
    proto.dtype = types_pb2.DT_STRING
    proto.tensor_shape.dim.add(size=1)
    proto.string_val.append(session.encode())
    return request.SerializeToString()


def check_responses(ports: tuple[int, int], model: str, call: Any, sessions: Sequence[str]) -> None:
    """Compare the server's responses with direct calls.

    Raises:
      HlnError: They differ.
    """
    expected, scores = call(sessions)
    rest, grpc = ports
    for url in (f"http://{HOST}:{rest}/v1/models/{model}", f"grpc://{HOST}:{grpc}/{model}"):
        with Client(url, timeout=60) as client:
            served = client.predict(SIGNATURE, {"sessions": list(sessions)})
        same = np.vectorize(str.encode, otypes=[object])(served["item_ids"]) == expected
        # Two executions of a graph may order items of nearly equal scores differently.
        if same.mean() < 0.99 or not np.allclose(served["scores"], scores, atol=1e-3):
            raise HlnError(f"{url} responds differently from the SavedModel in {model}")


def measure(
    settings: BenchmarkSettings,
    model: str,
    ports: tuple[int, int],
    call: Callable[[Sequence[str]], Any],
    sessions: Sequence[str],
) -> dict[str, list[Measurement]]:
    """Measure every variant in turn: a warm-up round, then the measured rounds.

    Args:
      settings: Amount of work.
      model: Name of the served model.
      ports: The REST port and the gRPC port.
      call: The SavedModel, see `direct_call`.
      sessions: Sessions of the requests.

    Returns:
      The measurements of each round, by the variant's name.
    """
    path = f"/v1/models/{model}:predict"
    bodies = [
        json.dumps({"signature_name": SIGNATURE, "instances": [session]}).encode()
        for session in sessions
    ]
    rest_requests = [rest_request(HOST, ports[0], path, body) for body in bodies]
    grpc_requests = [grpc_request(model, session) for session in sessions]
    of_many = max(1, settings.requests // settings.rounds)
    of_one = max(1, of_many // 10)
    size = settings.batch_size
    with multiprocessing.get_context("spawn").Pool(1) as generator:

        def load(run: Any, port: int, requests: list[bytes], clients: int) -> Callable[[], Load]:
            total = of_one if clients == 1 else of_many
            return lambda: generator.apply(run, (HOST, port, requests, clients, total))

        variants: dict[str, Callable[[], Load]] = {
            "direct, 1 session": lambda: run_direct(call, sessions, 1, 1.0),
            f"direct, batches of {size}": lambda: run_direct(call, sessions, size, 2.0),
        }
        for name, run, port, requests in (
            ("REST", run_rest, ports[0], rest_requests),
            ("gRPC", run_grpc, ports[1], grpc_requests),
        ):
            many = settings.clients
            variants[f"{name}, 1 client"] = load(run, port, requests, 1)
            variants[f"{name}, {many} clients"] = load(run, port, requests, many)
        for run_variant in variants.values():
            run_variant()
        measurements: dict[str, list[Measurement]] = {name: [] for name in variants}
        with progress_bar("measuring", "runs", settings.rounds * len(variants)) as bar:
            for _ in range(settings.rounds):
                for name, run_variant in variants.items():
                    bar.set_postfix_str(name)
                    result = run_variant()
                    if result.errors:
                        message = f"{name}: {result.errors} errors, {result.first_error}"
                        print(message, file=sys.stderr)
                    measurements[name].append(Measurement.from_load(result))
                    bar.update()
    return measurements


def format_table(settings: BenchmarkSettings, measurements: dict[str, list[Measurement]]) -> str:
    """Format a Markdown table: medians over the rounds, minima in brackets."""
    one, batch, *served = measurements
    lines = [
        "| | requests/s | p50 ms | p99 ms | overhead at p50, ms | share of direct | errors |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, rounds in measurements.items():
        overhead = share = errors = ""
        if name in served:
            errors = str(sum(own.errors for own in rounds))
        if name in served and name.endswith("1 client"):
            pairs = zip(rounds, measurements[one], strict=True)
            overhead = _spread([own.p50 - direct.p50 for own, direct in pairs], 2)
        elif name in served:
            pairs = zip(rounds, measurements[batch], strict=True)
            share = f"{_spread([100 * own.rate / direct.rate for own, direct in pairs], 0)} %"
        cells = [
            name,
            _spread([own.rate for own in rounds], 0),
            _spread([own.p50 for own in rounds], 2),
            _spread([own.p99 for own in rounds], 2),
            overhead,
            share,
            errors,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines.append(f"{settings.rounds} interleaved rounds: the median, in brackets the minimum.")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print the table.

    Returns:
      The exit code: 1 if a request failed.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The model or the data set is unusable, or the server does not start.
    """
    parser = cli.Parser(prog="python -m benchmarks.serving", description=_DESCRIPTION)
    parser.add_argument(
        "--model_base_path", required=True, help="directory of the model's versions"
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
    versions = find_versions(model.model_base_path)
    call = direct_call(Path(versions[max(versions)].path))
    names = [*_names(BatchingSettings), *threads]
    given = cli.as_arguments({name: v for name, v in vars(flags).items() if name in names})
    with running_server(model, given) as ports:
        check_responses(ports[:2], model.name, call, sessions[: settings.batch_size])
        measurements = measure(settings, model.name, ports[:2], call, sessions)
    print(format_table(settings, measurements))
    return int(any(own.errors for rounds in measurements.values() for own in rounds))


def _names(cls: type) -> list[str]:
    return [field.name for field in declared_fields(cls)]


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
