"""A client for a served model, the same for the embedded server and for TensorFlow Serving."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np

from hln_tf.analysis.explanation import Explanation
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.retrieval.recommendations import Recommendations, scored_items
from serving.tensors import NUMPY_TYPES, Tensors

_URL = re.compile(
    r"(?P<scheme>https?|grpc)://(?P<address>[^/]+)(?:/v1/models)?/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?/?"
)


class ServerError(HlnError):
    """The server cannot be reached, or refused.

    Args:
      message: What happened, in one sentence.
      code: The canonical code by name, such as NOT_FOUND; UNAVAILABLE where
        there was no answer.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Target:
    """A model at a server.

    Attributes:
      scheme: http, https or grpc.
      address: Host and port.
      model: The model's name.
      version: A version by number.
      label: A version by label; the latest where neither is given.
    """

    scheme: str
    address: str
    model: str
    version: int | None
    label: str | None

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Reads a URL.

        Raises:
          UsageError: It is of neither form.
        """
        found = _URL.fullmatch(url)
        if not found:
            raise UsageError(
                f"--url is {url!r}, expected http://HOST:PORT/v1/models/NAME or "
                "grpc://HOST:PORT/NAME, with /versions/N or /labels/LABEL after it if need be"
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
    def path(self) -> str:
        """The model's path in the REST API."""
        path = f"/v1/models/{quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return f"{path}/labels/{quote(self.label, safe='')}" if self.label else path

    def refusal(self, reason: str) -> str:
        """What a user is told of a server's error; TensorFlow's have several lines."""
        return f"{self} refused: {' '.join(reason.split())}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}{self.path}"


@dataclasses.dataclass(frozen=True)
class SignatureTypes:
    """Types of a signature's inputs and outputs by name, as `DT_STRING`."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


class Transport(Protocol):
    """How requests reach the server."""

    def predict(self, signature: str, inputs: Tensors, types: SignatureTypes) -> Tensors:
        """Runs a signature; strings are arrays of str."""

    def signatures(self) -> dict[str, SignatureTypes]:
        """The signatures of the model."""

    def status(self) -> list[dict[str, str]]:
        """The state of the model's versions."""

    def close(self) -> None:
        """Closes connections."""


class Client:
    """Asks a served model, over REST or gRPC.

    A session is one string, its raw item ids joined by the model's separator.

    Args:
      url: `http://HOST:PORT/v1/models/NAME` or `grpc://HOST:PORT/NAME`, with
        `/versions/N` or `/labels/LABEL` after it for a certain version.
      timeout: Seconds for a request.

    Raises:
      UsageError: The URL is of neither form.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._target = Target.parse(url)
        self._signatures: dict[str, SignatureTypes] | None = None
        self._transport: Transport
        if self._target.scheme == "grpc":
            from serving.grpc_transport import GrpcTransport

            self._transport = GrpcTransport(self._target, timeout)
        else:
            from serving.rest_transport import RestTransport

            self._transport = RestTransport(self._target, timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes connections."""
        self._transport.close()

    def recommend(
        self, sessions: Sequence[str], k: int = 20, exclude_seen: bool = False
    ) -> list[Recommendations]:
        """Recommends items.

        Args:
          sessions: One string for each.
          k: Items for each session.
          exclude_seen: Whether a session's own items are left out.

        Raises:
          ServerError: The server cannot be reached or refuses; the model has
            no signature `sessions_k`.
        """
        rows = len(sessions)
        outputs = self.predict(
            "sessions_k",
            {"sessions": sessions, "k": [k] * rows, "exclude_seen": [exclude_seen] * rows},
        )
        pairs = zip(outputs["item_ids"], outputs["scores"], strict=True)
        items = [scored_items(ids.tolist(), scores.tolist()) for ids, scores in pairs]
        flags = outputs["is_fallback"].tolist()
        return [Recommendations(*both) for both in zip(items, flags, strict=True)]

    def explain(self, sessions: Sequence[str]) -> list[Explanation]:
        """Tells what the preference groups make of sessions.

        Args:
          sessions: One string for each.

        Raises:
          ServerError: The server cannot be reached or refuses; the model has
            no signature `explain`.
        """
        return list(_explanations(self.predict("explain", {"sessions": sessions})))

    def embed(self, sessions: Sequence[str]) -> np.ndarray:
        """Query embeddings, float32 [sessions, d], for an index of one's own.

        Raises:
          ServerError: The server cannot be reached or refuses; the model has
            no signature `embed`.
        """
        return self.predict("embed", {"sessions": sessions})["query"]

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> Tensors:
        """Runs any signature.

        Args:
          signature: Its name.
          inputs: What `np.array` takes, by name.

        Returns:
          Arrays by name; strings are object arrays of str, those named `*_bytes` of bytes.

        Raises:
          ServerError: The server cannot be reached or refuses; the model has
            no such signature, or other inputs.
        """
        types = self.signatures().get(signature)
        if types is None:
            raise ServerError(
                f"the model at {self._target} has no signature {signature!r}; it has: "
                f"{', '.join(sorted(self.signatures()))}",
                "NOT_FOUND",
            )
        if inputs.keys() != types.inputs.keys():
            raise ServerError(
                f"the signature {signature!r} at {self._target} takes "
                f"{', '.join(sorted(types.inputs))}, not {', '.join(sorted(inputs))}",
                "INVALID_ARGUMENT",
            )
        arrays = {name: _array(name, value, types.inputs[name]) for name, value in inputs.items()}
        return self._transport.predict(signature, arrays, types)

    def signatures(self) -> dict[str, SignatureTypes]:
        """The model's signatures by name, asked for once.

        Raises:
          ServerError: The server cannot be reached or has no such model.
        """
        if self._signatures is None:
            self._signatures = self._transport.signatures()
        return self._signatures

    def status(self) -> list[dict[str, str]]:
        """Version, state and error of each version of the model.

        Raises:
          ServerError: The server cannot be reached or has no such model.
        """
        return self._transport.status()


def _array(name: str, value: Any, kind: str) -> np.ndarray:
    try:
        array = np.array(value, NUMPY_TYPES[kind])
        is_whole = array.dtype.kind not in "iu" or bool(np.all(array == np.array(value)))
        is_text = array.dtype != object or all(isinstance(each, str) for each in array.flat)
        if not (is_whole and is_text):
            raise ValueError
        return array
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ServerError(
            f"the input {name!r} does not fit the type {kind} that the model takes",
            "INVALID_ARGUMENT",
        ) from None


def _explanations(outputs: Tensors) -> Iterator[Explanation]:
    for row, clicks in enumerate(outputs["clicks"]):
        present = clicks != ""
        groups = zip(outputs["group_item_ids"][row], outputs["group_scores"][row], strict=True)
        yield Explanation(
            clicks[present].tolist(),
            outputs["retention"][row][:, present],
            [scored_items(ids.tolist(), scores.tolist()) for ids, scores in groups],
            bool(outputs["is_fallback"][row]),
        )
