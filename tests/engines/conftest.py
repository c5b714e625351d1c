"""Engines for the pipeline, fetched once into a cache and started for the tests."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import apache_beam
import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("HLN_TF_ENGINES_CACHE", "~/.cache/hln-tf/engines")).expanduser()
VERSION = apache_beam.__version__
PRISM = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{VERSION}"
JOB_SERVERS = {
    "flink": f"org.apache.beam:beam-runners-flink-1.20-job-server:{VERSION}",
    "spark": f"org.apache.beam:beam-runners-spark-3-job-server:{VERSION}",
}
# What a registry's client prints for an artefact that the registry does not serve.
REFUSALS = (
    "Could not find artifact",
    "was not found in",
    "404 Not Found",
    "410 Gone",
    "403 Forbidden",
)
REFUSED: dict[str, str] = {}
# The packages of Java 17 that Flink and Spark open by reflection.
OPENED = ("java.lang", "java.lang.invoke", "java.nio", "java.util", "sun.nio.ch")
JAVA_FLAGS = [
    f"--job_server_jvm_properties=--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED
]


def fetch(artefact, target, command, **environment):
    """Run a registry's client unless the file is there; an artefact that is refused is a skip."""
    if target.exists():
        return target
    if artefact in REFUSED:
        pytest.skip(REFUSED[artefact])
    if shutil.which(command[0]) is None:
        pytest.skip(f"{artefact} needs {command[0]}, which is not installed")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment}
    )
    printed = done.stdout + done.stderr
    if any(refusal in printed for refusal in REFUSALS):
        REFUSED[artefact] = f"the registry does not serve {artefact}"
        pytest.skip(REFUSED[artefact])
    assert done.returncode == 0, printed
    assert target.exists(), printed
    return target


@pytest.fixture(scope="session")
def prism():
    """Build Beam's own Prism."""
    directory = CACHE / f"prism-{VERSION}"
    return fetch(PRISM, directory / "prism", ["go", "install", PRISM], GOBIN=str(directory))


def job_server(name):
    """Fetch the job server of Flink or Spark."""
    artefact = JOB_SERVERS[name]
    _, module, version = artefact.split(":")
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artefact}"]
    return fetch(
        artefact, CACHE / f"{module}-{version}.jar", [*command, f"-DoutputDirectory={CACHE}"]
    )


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(command, port, log):
    """Run a server until it listens, and end it afterwards."""
    # Beam's worker pool starts its workers with the `python` that it finds.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                break
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def worker_pool(tmp_path):
    """Start a pool that starts worker processes; returns its process and the flags to use it."""
    port = free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    command += ["--service_port", str(port)]
    flags = ["--environment_type", "EXTERNAL", "--environment_config", f"localhost:{port}"]
    with started(command, port, tmp_path / "pool.log") as process:
        yield process, flags


@pytest.fixture
def engine(request, tmp_path):
    """Return the flags of an engine by name, after starting it where it is a server."""
    name = request.param
    if name in JOB_SERVERS:
        jar = str(job_server(name))
        runner = ["--runner", f"{name.capitalize()}Runner", f"--{name}_job_server_jar", jar]
        yield [*runner, *JAVA_FLAGS]
        return
    binary = str(request.getfixturevalue("prism"))
    if name == "prism":
        yield ["--runner", "PrismRunner", "--prism_location", binary]
        return
    port = free_port()
    command = [binary, f"--job_port={port}", "--serve_http=false"]
    with started(command, port, tmp_path / "prism.log"):
        yield ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{port}"]
