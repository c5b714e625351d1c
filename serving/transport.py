"""The parts that the client and its transports share: the target, types, errors and protocol."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from hln_tf.common.errors import HlnError, UsageError
from serving.tensors import Tensors

_URL = re.compile(
    r"(?P<scheme>https?|grpcs?)://(?P<address>[^/]+)(?:/v1/models)?/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?/?"
)


class ServerError(HlnError):
    """The server cannot be reached, or refuses the request.

    Args:
      message: The cause, in one sentence.
      code: Name of the canonical code, such as NOT_FOUND; UNAVAILABLE if the
        server did not respond.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Target:
    """A model on a server.

    Attributes:
      scheme: http, https, grpc or grpcs, which is gRPC over TLS.
      address: Host and port.
      model: Name of the model.
      version: Number of the version, if the URL has one.
      label: Label of the version, if the URL has one. Without a number and a
        label, the server uses the latest version.
    """

    scheme: str
    address: str
    model: str
    version: int | None
    label: str | None

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Parse a URL.

        Raises:
          UsageError: The URL has neither of the two forms.
        """
        found = _URL.fullmatch(url)
        if not found:
            raise UsageError(
                f"--url is {url!r}, expected http://HOST:PORT/v1/models/NAME or "
                "grpc://HOST:PORT/NAME (https or grpcs for TLS), with /versions/N or /labels/LABEL "
                "after it if need be"
            )
        version = found["version"]
        return cls(
            found["scheme"],
            found["address"],
            found["model"],
            int(version) if version else None,
            found["label"],
        )

    @property
    def has_tls(self) -> bool:
        """True if the server is addressed over TLS."""
        return self.scheme in ("https", "grpcs")

    @property
    def path(self) -> str:
        """Path of the model in the REST API."""
        path = f"/v1/models/{quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return f"{path}/labels/{quote(self.label, safe='')}" if self.label else path

    def refusal(self, reason: str) -> str:
        """Describe a server's error in one line; TensorFlow's errors have several."""
        return f"{self} refused: {' '.join(reason.split())}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}{self.path}"


@dataclasses.dataclass(frozen=True)
class SignatureTypes:
    """Types of a signature's inputs and outputs by name, such as `DT_STRING`."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Access:
    """Credentials of a client.

    Attributes:
      token: Bearer token; empty for none.
      ca: Certificates in PEM of the authorities that vouch for the server; those
        of the system if empty.
    """

    token: str = ""
    ca: bytes = b""


class Transport(Protocol):
    """A connection to the server of a model."""

    def predict(self, signature: str, inputs: Tensors, types: SignatureTypes) -> Tensors:
        """Run a signature; strings are object arrays of str."""

    def signatures(self) -> dict[str, SignatureTypes]:
        """Return the signatures of the model by name."""

    def status(self) -> list[dict[str, str]]:
        """Return the status of each version of the model."""

    def close(self) -> None:
        """Close the connections."""
