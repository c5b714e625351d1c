"""A soak of the server: clients, reloads and hostile requests: `python -m benchmarks.soak`."""

import contextlib
import dataclasses
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.processes import resident_bytes
from benchmarks.serving import HOST, SIGNATURE, read_sessions, running_server
from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.settings import checked, setting
from serving import Client, ServerError
from serving.directory import check_versions, find_versions
from serving.settings import ModelSettings

# Reloads after which memory may not grow any more, beyond this fraction.
SETTLED = 10
MAX_GROWTH = 0.05

_DESCRIPTION = """\
Starts a server with a copy of a model and sends it the sessions of a data set's test split from
two clients over REST and two over gRPC, while the model gets a new version again and again and
another client sends what no client should. Prints a Markdown table with a line for each
reload; the exit code is 1 if a client got an error, or if memory grew after the first ten reloads.

  python -m benchmarks.soak --model_base_path models/hln --data_dir data/sample --minutes 30
"""


@dataclasses.dataclass(frozen=True)
class SoakSettings:
    """Duration of the soak."""

    minutes: float = setting(30.0, "minutes", above=0.0)
    reload_seconds: float = setting(20.0, "seconds between new versions", above=0.0)
    clients: int = setting(2, "clients of each transport", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass
class Counts:
    """Events of a soak so far; threads add to them.

    Attributes:
      requests: Responses that clients got.
      hostile: Hostile requests that were sent.
      errors: Errors that clients got.
    """

    requests: int = 0
    hostile: int = 0
    errors: list[str] = dataclasses.field(default_factory=list)


def hostile_requests(path: str) -> list[bytes]:
    """Return bytes that no client should send to the REST port.

    Args:
      path: A path that takes POST requests.
    """

    def post(body: bytes, headers: str = "", length: int | None = None) -> bytes:
        size = len(body) if length is None else length
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{headers}Content-Length: {size}\r\n\r\n"
        return head.encode() + body

    return [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        post(b'{"inputs":[' + b"[]," * 300_000 + b"[]]}"),
        post(b'{"inputs":[' + b"[]," * 60_000 + b"[]]}"),
        post(b'{"instances": ' + b"[" * 500_000),
        post(b" " * 2**22),
        post(b"no gzip", "Content-Encoding: gzip\r\n"),
        post(b'{"instances": ["half', length=1000),
        post(b'{"instances": [1]}') * 50,
    ]


def send_hostile(
    port: int, requests: Sequence[bytes], stop: threading.Event, counts: Counts
) -> None:
    """Send hostile requests in random order until stopped, each over its own connection."""
    chosen = random.Random(0)
    while not stop.wait(0.2):
        # The server may close the connection at any time, and often must.
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 10) as connection:
            connection.settimeout(1)
            connection.sendall(chosen.choice(requests))
            connection.recv(2**16)
        counts.hostile += 1


def send_sessions(url: str, sessions: Sequence[str], stop: threading.Event, counts: Counts) -> None:
    """Send sessions in turn until stopped; every response has an item."""
    with Client(url, timeout=60) as client:
        while not stop.is_set():
            session = sessions[counts.requests % len(sessions)]
            try:
                outputs = client.predict(SIGNATURE, {"sessions": [session]})
                if not outputs["item_ids"][0][0]:
                    counts.errors.append(f"{url}: no item for {session!r}")
            except ServerError as error:
                counts.errors.append(str(error))
            counts.requests += 1


def soak(
    settings: SoakSettings,
    version: Path,
    base: Path,
    ports: tuple[int, int, int],
    sessions: Sequence[str],
    report: Callable[[str], None],
) -> tuple[Counts, list[int]]:
    """Run the clients and reload the model.

    Args:
      settings: Duration.
      version: Directory of the version that is copied.
      base: Directory of the served model, which has version 1.
      ports: REST port, gRPC port and id of the server's process.
      sessions: Sessions of the requests.
      report: Called with the line of each reload.

    Returns:
      What happened, and the resident memory after each reload in bytes.

    Raises:
      HlnError: A version does not replace the one before.
    """
    rest, grpc, pid = ports
    stop, counts = threading.Event(), Counts()
    memory: list[int] = []
    urls = [f"http://{HOST}:{rest}/v1/models/{base.name}", f"grpc://{HOST}:{grpc}/{base.name}"]
    hostile = hostile_requests(f"/v1/models/{base.name}:predict")
    threads = [
        threading.Thread(target=send_sessions, args=(url, sessions, stop, counts))
        for url in urls * settings.clients
    ]
    threads.append(threading.Thread(target=send_hostile, args=(rest, hostile, stop, counts)))
    for thread in threads:
        thread.start()
    started = time.monotonic()
    try:
        while time.monotonic() - started < 60 * settings.minutes:
            time.sleep(settings.reload_seconds)
            _replace(version, base, len(memory) + 2)
            _wait_for(urls[0], len(memory) + 2)
            memory.append(resident_bytes(pid))
            report(
                f"| {len(memory)} | {time.monotonic() - started:,.0f} | {counts.requests:,} | "
                f"{counts.hostile:,} | {len(counts.errors)} | {memory[-1] / 2**20:,.0f} |"
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return counts, memory


def growth(memory: Sequence[int]) -> float | None:
    """Return the relative growth of the last from the first settled value, None without one."""
    settled = memory[SETTLED - 1 :]
    return max(settled[-3:]) / max(settled[:3]) - 1 if len(settled) > 3 else None


def main(arguments: Sequence[str]) -> int:
    """Soak and print the table.

    Returns:
      The exit code: 1 if a client got an error, or memory grew.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The model or the data set is unusable, or the server does not start.
    """
    parser = cli.Parser(prog="python -m benchmarks.soak", description=_DESCRIPTION)
    parser.add_argument(
        "--model_base_path", required=True, help="directory of the model's versions"
    )
    parser.add_argument("--data_dir", required=True, type=Path, help="a prepared data set")
    cli.add_settings(parser, SoakSettings, "the soak")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(SoakSettings, flags)
    model = ModelSettings(model_base_path=flags.model_base_path)
    check_versions(model)
    sessions = read_sessions(flags.data_dir)
    versions = find_versions(model.model_base_path)
    version = Path(versions[max(versions)].path)
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory) / model.name
        base.mkdir()
        shutil.copytree(version, base / "1")
        with running_server(ModelSettings(model_base_path=str(base)), ()) as ports:
            print("| reload | seconds | requests | hostile | errors | MiB |")
            print("| ---: | ---: | ---: | ---: | ---: | ---: |")
            counts, memory = soak(
                settings, version, base, ports, sessions, lambda line: print(line, flush=True)
            )
    for error in counts.errors[:3]:
        print(error, file=sys.stderr)
    grown = growth(memory)
    if grown is None:
        print(f"\nMemory cannot be compared with fewer than {SETTLED + 3} reloads.")
    else:
        print(f"\nMemory grew by {100 * grown:.1f} % after the first {SETTLED} reloads.")
    return int(bool(counts.errors) or (grown or 0.0) > MAX_GROWTH)


def _replace(version: Path, base: Path, number: int) -> None:
    """Publish a new version atomically and remove the one before the last."""
    shutil.copytree(version, base / f".{number}.tmp")
    (base / f".{number}.tmp").rename(base / str(number))
    shutil.rmtree(base / str(number - 2), ignore_errors=True)


def _wait_for(url: str, number: int) -> None:
    with Client(url, timeout=60) as client:
        for _ in range(600):
            states = {each["version"]: each["state"] for each in client.status()}
            if states.get(str(number)) == "AVAILABLE" and states.get(str(number - 1)) == "END":
                return
            time.sleep(0.1)
    raise HlnError(f"version {number} has not replaced version {number - 1} within a minute")


if __name__ == "__main__":
    sys.exit(cli.run(main))
