"""The client's transport over REST. Imports no TensorFlow."""

import base64
import json
from http import HTTPStatus
from typing import Any

import numpy as np
import urllib3

from serving.errors import Code, http_status_of
from serving.tensors import NUMPY_TYPES, Tensors
from serving.transport import Access, ServerError, SignatureTypes, Target


class RestTransport:
    """Requests over a pool of persistent connections.

    Args:
      target: The model.
      timeout: Seconds for a request.
      access: Credentials.
    """

    def __init__(self, target: Target, timeout: float, access: Access) -> None:
        self._target = target
        self._timeout = timeout
        self._headers = {"Content-Type": "application/json"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        options: dict[str, Any] = {"ca_cert_data": access.ca.decode()} if access.ca else {}
        # A retry would add its own time to the timeout.
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout), retries=False, **options
        )

    def predict(self, signature: str, inputs: Tensors, types: SignatureTypes) -> Tensors:
        """Run a signature."""
        body = {
            "signature_name": signature,
            "inputs": {name: array.tolist() for name, array in inputs.items()},
        }
        outputs = self._request("POST", ":predict", json.dumps(body).encode())["outputs"]
        if len(types.outputs) == 1:
            (name,) = types.outputs
            outputs = {name: outputs}
        return {
            name: np.array(_decode_base64(outputs[name]), NUMPY_TYPES[kind])
            for name, kind in types.outputs.items()
        }

    def signatures(self) -> dict[str, SignatureTypes]:
        """Return the signatures of the model by name."""
        metadata = self._request("GET", "/metadata")["metadata"]
        return {
            name: SignatureTypes(_types(definition["inputs"]), _types(definition["outputs"]))
            for name, definition in metadata["signature_def"]["signature_def"].items()
            if definition["inputs"]
        }

    def status(self) -> list[dict[str, str]]:
        """Return the status of each version of the model."""
        return [
            {"version": entry["version"], "state": entry["state"], **entry["status"]}
            for entry in self._request("GET", "")["model_version_status"]
        ]

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _request(self, verb: str, suffix: str, body: bytes | None = None) -> Any:
        url = f"{self._target.scheme}://{self._target.address}{self._target.path}{suffix}"
        try:
            response = self._pool.request(verb, url, body=body, headers=self._headers)
        except urllib3.exceptions.NewConnectionError as error:
            raise self._unreachable(error) from None
        except urllib3.exceptions.TimeoutError:
            raise ServerError(
                f"{self._target} did not answer within {self._timeout:g} s", "DEADLINE_EXCEEDED"
            ) from None
        except urllib3.exceptions.SSLError as error:
            raise ServerError(
                f"TLS with {self._target.address} fails ({_cause(error)}): check that this port "
                "speaks TLS, and that --ca_file has the certificate of its authority",
                "UNAVAILABLE",
            ) from None
        except urllib3.exceptions.ProtocolError as error:
            raise ServerError(
                f"{self._target.address} does not answer by HTTP ({_cause(error)}): is this the "
                "gRPC port, or a port with TLS? A URL of gRPC is grpc://HOST:PORT/NAME",
                "UNAVAILABLE",
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        try:
            content = json.loads(response.data)
        except ValueError:
            raise ServerError(
                f"{url} answered {response.status} with something that is not JSON: "
                "is this a TensorFlow Serving REST port?",
                "UNKNOWN",
            ) from None
        if response.status != HTTPStatus.OK:
            reason = content.get("error", content) if isinstance(content, dict) else content
            raise ServerError(self._target.refusal(str(reason)), _code(response.status))
        return content

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> ServerError:
        return ServerError(
            f"no server can be reached at {self._target.scheme}://{self._target.address} "
            f"({_cause(error)}): check the address, or start one with python -m serving.serve",
            "UNAVAILABLE",
        )


def _types(tensors: dict[str, Any]) -> dict[str, str]:
    return {name: info["dtype"] for name, info in tensors.items()}


def _decode_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_base64(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _code(status: int) -> str:
    return next((code.name for code in Code if http_status_of(code) == status), "UNKNOWN")


def _cause(reason: object) -> str:
    """Return the operating system's message, which ends that of urllib3."""
    return str(reason).rpartition("] ")[2]
