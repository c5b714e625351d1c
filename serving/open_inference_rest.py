"""The Open Inference Protocol (V2) over HTTP, below `/v2`, with binary tensor data."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.types import Receive, Scope, Send

from serving import open_inference as v2
from serving.errors import Code, ServingError, invalid
from serving.gateway import call_of
from serving.json_requests import parse_object
from serving.json_responses import dumps, jsonable
from serving.json_values import decode_tensor
from serving.predictor import Predictor
from serving.rest import malformed, model_of, send_json
from serving.servable import Signature
from serving.tensors import Tensors, elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

# The length of the JSON in front of binary data, in requests and responses.
_JSON_LENGTH = b"inference-header-content-length"
_MODEL = re.compile(r"/v2/models/([^/:]+)(?:/versions/(\d+))?()(?:/(ready|infer))?", re.ASCII)


class OpenInferenceApi:
    """The routes below `/v2`, as an ASGI application.

    Args:
      predictor: Runs the requests.
      timeout: Seconds until a request's deadline.
    """

    def __init__(self, predictor: Predictor, timeout: float) -> None:
        self._predictor = predictor
        self._models = predictor.models
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        verb, path, call = scope["method"], scope["raw_path"].decode("latin-1"), call_of(scope)
        if verb == "GET" and path in ("/v2", "/v2/"):
            return await _send(send, v2.SERVER)
        if verb == "GET" and path == "/v2/health/live":
            return await _send(send, {"live": True})
        if verb == "GET" and path == "/v2/health/ready":
            is_ready = self._predictor.is_ready
            return await _send(send, {"ready": is_ready}, 200 if is_ready else 503)
        found = _MODEL.fullmatch(path)
        if not found or verb != ("POST" if found[4] == "infer" else "GET"):
            raise malformed(scope)
        name, version, _ = model_of(found)
        call.model = name
        if found[4] == "infer":
            call.api = "ModelInfer"
            return await self._infer(scope, receive, send, name, version)
        call.api = "ModelReady" if found[4] else "ModelMetadata"
        with self._models.using(name, version, None) as servable:
            if found[4]:
                is_ready = not self._predictor.is_draining
                state = {"name": name, "ready": is_ready}
                return await _send(send, state, 200 if is_ready else 503)
            versions = [servable.version] if version else self._models.available(name)
            return await _send(send, v2.describe(servable, versions))

    async def _infer(
        self, scope: Scope, receive: Receive, send: Send, name: str, version: int | None
    ) -> None:
        body = (await receive())["body"]
        headers = dict(scope["headers"])
        is_large = len(body) > LARGE_BYTES
        document, binary = await offload_if(is_large, lambda: _split(body, headers))
        parameters = _object(document, "parameters")
        with self._models.using(name, version, None) as servable:
            signature = v2.find_signature(servable, str(parameters.get("signature_name", "")))
            inputs = await offload_if(is_large, lambda: _decode_inputs(document, binary, signature))
            requested = _items(document, "outputs") if "outputs" in document else []
            names = [_text(each, "name") for each in requested]
            outputs = await v2.infer(
                self._predictor, servable, signature, inputs, names, self._timeout
            )
            head = {"model_name": name, "model_version": str(servable.version)}
        if "id" in document:
            head["id"] = _text(document, "id")
        is_binary = {
            output: bool(parameters.get("binary_data_output", False)) for output in outputs
        }
        for each, output in zip(requested, names, strict=True):
            asked = _object(each, "parameters").get("binary_data")
            is_binary[output] = is_binary[output] if asked is None else bool(asked)
        text, data = await offload_if(
            elements(outputs) > LARGE_ELEMENTS, lambda: _encode(head, outputs, is_binary)
        )
        if not data:
            return await send_json(send, text)
        content = (b"content-type", b"application/octet-stream")
        length = (_JSON_LENGTH, str(len(text)).encode())
        await send_json(send, text + data, [content, length])


async def _send(send: Send, document: Any, status: int = 200) -> None:
    await send_json(send, json.dumps(document).encode(), status=status)


def _split(body: bytes, headers: Mapping[bytes, bytes]) -> tuple[dict[str, Any], bytes]:
    """Parse the JSON of a request and return it with the binary data that follows."""
    length = headers.get(_JSON_LENGTH, str(len(body)).encode())
    if not length.isdigit() or len(length) > 19 or int(length) > len(body):
        raise invalid(
            f"Inference-Header-Content-Length is {length[:40].decode('latin-1')!r}, expected the "
            f"length of the JSON, at most the body's {len(body)} bytes"
        )
    return parse_object(body[: int(length)]), body[int(length) :]


def _decode_inputs(document: dict[str, Any], binary: bytes, signature: Signature) -> Tensors:
    inputs: Tensors = {}
    start = 0
    for tensor in _items(document, "inputs"):
        name, shape = _text(tensor, "name"), tensor.get("shape")
        if type(shape) is not list:
            raise invalid(f"the input {name!r} has no list as its shape")
        spec = v2.check_tensor(signature, name, _text(tensor, "datatype"), shape)
        size = _object(tensor, "parameters").get("binary_data_size")
        if size is None:
            if "data" not in tensor:
                raise invalid(f"the input {name!r} has no data")
            inputs[name] = v2.as_shape(name, decode_tensor(tensor["data"], spec), shape)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - start:
            raise invalid(
                f"the input {name!r} has the binary_data_size {size}, but "
                f"{len(binary) - start} bytes follow"
            )
        inputs[name] = v2.decode_raw(name, binary[start : start + size], spec, shape)
        start += size
    if start < len(binary):
        raise invalid(f"{len(binary) - start} bytes of the binary data belong to no input")
    return inputs


def _encode(
    head: dict[str, Any], outputs: Tensors, is_binary: Mapping[str, bool]
) -> tuple[bytes, bytes]:
    """Return the JSON of a response and the binary data that follows it."""
    raw = {name: v2.encode_raw(outputs[name]) for name in outputs if is_binary[name]}

    def document(for_orjson: bool) -> Any:
        return {**head, "outputs": [tensor(name, for_orjson) for name in outputs]}

    def tensor(name: str, for_orjson: bool) -> dict[str, Any]:
        array = outputs[name]
        description = {
            "name": name,
            "shape": list(array.shape),
            "datatype": v2.DATATYPES[array.dtype.name],
        }
        if name in raw:
            return {**description, "parameters": {"binary_data_size": len(raw[name])}}
        return {**description, "data": jsonable("", np.ravel(array), for_orjson)}

    in_json = {name: outputs[name] for name in outputs if name not in raw}
    for name, array in in_json.items():
        if array.dtype == object and not all(map(_is_text, array.flat)):
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"the output {name!r} is not UTF-8: ask for it with binary_data",
            )
    return dumps(document, in_json), b"".join(raw.values())


def _items(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = document.get(key)
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise invalid(f"{key!r} is no list of objects")
    return items


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key, {})
    if type(value) is not dict:
        raise invalid(f"{key!r} is no object")
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if type(value) is not str:
        raise invalid(f"{key!r} is no string")
    return value


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
