"""Settings of the embedded server, with the names of TensorFlow Serving's flags if it has them."""

import dataclasses
import os
import re
from pathlib import Path

from hln_tf.common.errors import UsageError
from hln_tf.common.files import is_url
from hln_tf.common.settings import checked, setting
from hln_tf.common.text import is_version

LOG_LEVELS = ("info", "warning", "error")

# Python packages of the extra `serving`, which only the server and the client need.
SERVER_PACKAGES = (
    "grpc",
    "grpc_health",
    "grpc_reflection",
    "httptools",
    "orjson",
    "rapidjson",
    "starlette",
    "tensorflow_serving",
    "uvicorn",
    "uvloop",
)
GRPC_CLIENT_PACKAGES = ("grpc", "tensorflow_serving")
REST_CLIENT_PACKAGES = ("urllib3",)


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """A model that is served, and which of its versions."""

    model_base_path: str = setting(
        "",
        "directory that holds the versions, such as models/hln, or its URL, such as s3://bucket/hln",
    )
    model_name: str = setting("", "the model's name in requests")
    served_versions: str = setting(
        "latest",
        "latest, latest:N for the N largest, all, or numbers joined by commas; labelled versions "
        "are served as well",
    )
    version_labels: tuple[str, ...] = setting(
        (), "labels of versions, each LABEL=VERSION, such as stable=3 canary=4"
    )

    def __post_init__(self) -> None:
        checked(self)
        self.num_versions()
        self.versions()
        self.labels()

    @property
    def name(self) -> str:
        """Name of the model in requests; the directory's own name, of a symbolic link too."""
        last = self.model_base_path.rstrip("/").rpartition("/")[2]
        is_remote = is_url(self.model_base_path)
        return self.model_name or (
            last if is_remote else Path(os.path.abspath(self.model_base_path)).name
        )

    def num_versions(self) -> int | None:
        """Return how many of the largest versions are served at most, None for any number."""
        found = re.fullmatch(r"latest(?::(\d{1,9}))?", self.served_versions, re.ASCII)
        if not found:
            return None
        if found[1] and not int(found[1]):
            raise UsageError("--served_versions is latest:0, expected at least 1 version")
        return int(found[1] or 1)

    def versions(self) -> frozenset[int] | None:
        """Return the versions that are named by number, None for `latest` and `all`."""
        if self.served_versions == "all" or self.num_versions():
            return None
        numbers = self.served_versions.split(",")
        if not all(is_version(number.strip()) for number in numbers):
            raise UsageError(
                f"--served_versions is {self.served_versions!r}, expected latest, latest:N, all "
                "or numbers joined by commas, such as 3,4"
            )
        return frozenset(map(int, numbers))

    def labels(self) -> dict[str, int]:
        """Return the versions by label."""
        result: dict[str, int] = {}
        for pair in self.version_labels:
            label, equals, version = pair.partition("=")
            if not label or not equals or not is_version(version) or set(label) & set("/:"):
                raise UsageError(
                    f"--version_labels has {pair!r}, expected LABEL=VERSION, such as stable=3"
                )
            if label in result:
                raise UsageError(f"--version_labels names {label!r} twice")
            result[label] = int(version)
        return result


@dataclasses.dataclass(frozen=True)
class RepositorySettings:
    """Sources of the models, and their changes while the server runs."""

    model_config_file: str = setting(
        "",
        "file of several models instead of --model_base_path: TensorFlow Serving's "
        "ModelServerConfig in text format",
    )
    model_config_file_poll_wait_seconds: float = setting(
        0.0, "seconds between checks of --model_config_file; 0 for none", minimum=0.0
    )
    file_system_poll_wait_seconds: float = setting(
        1.0, "seconds between checks for new versions", above=0.0
    )
    request_log_prefix: str = setting(
        "",
        "path of files with sampled requests, without .MODEL.NUMBER; each holds at most 1,000 "
        "PredictionLogs, as a version's warm-up file does",
    )
    request_log_sampling_rate: float = setting(
        0.01, "fraction of the requests that are logged", above=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """Settings of the queue of requests and of its batches."""

    enable_batching: bool = setting(
        True, "merge waiting requests that differ in nothing but the batch dimension"
    )
    max_batch_size: int = setting(
        64, "most rows in a batch; a request with more gets a 400, merged or not", minimum=1
    )
    batch_timeout_micros: int = setting(
        0,
        "microseconds that a batch waits to fill; 0 runs it as soon as a thread is free",
        minimum=0,
    )
    max_enqueued_batches: int = setting(
        256, "most batches that wait; beyond them requests are refused (429)", minimum=1
    )
    num_batch_threads: int = setting(1, "batches that run at the same time", minimum=1)
    max_batch_threads: int = setting(
        8, "the same while batches are slow: none has begun for 0.5 s although some wait", minimum=1
    )

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Addresses and limits of the server."""

    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 for every network")
    rest_api_port: int = setting(8501, "REST port; 0 for none", minimum=0, maximum=65535)
    port: int = setting(8500, "gRPC port; 0 for none", minimum=0, maximum=65535)
    request_timeout: float = setting(30.0, "seconds until a REST request gets a 504", above=0.0)
    read_timeout: float = setting(
        30.0, "seconds in which a REST request must arrive, from its first byte on", above=0.0
    )
    write_timeout: float = setting(
        30.0, "seconds for which a REST client may leave a response unread", above=0.0
    )
    max_request_bytes: int = setting(
        2**20,
        "most bytes of a request's body, inflated if it is compressed; a larger one gets a 413",
        minimum=1,
    )
    shutdown_delay_seconds: float = setting(
        0.0,
        "seconds after SIGTERM in which readiness is 503 but requests are answered, for load "
        "balancers",
        minimum=0.0,
    )
    shutdown_grace_seconds: float = setting(
        30.0, "seconds for requests in flight after SIGTERM", minimum=0.0
    )
    tensorflow_intra_op_parallelism: int = setting(
        0, "threads of one TensorFlow operation; 0 for one per core", minimum=0
    )
    tensorflow_inter_op_parallelism: int = setting(
        0, "TensorFlow operations at the same time; 0 for one per core", minimum=0
    )
    log: str = setting(
        "info", "lines on standard error: info has one per request", choices=LOG_LEVELS
    )

    def __post_init__(self) -> None:
        checked(self)
        if not self.rest_api_port and not self.port:
            raise UsageError(
                "--rest_api_port and --port are both 0, expected at least one to serve"
            )
        if self.rest_api_port == self.port:
            raise UsageError(f"--rest_api_port and --port are both {self.port}, expected two ports")
