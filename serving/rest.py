"""TensorFlow Serving's REST API as an ASGI application."""

import json
import logging
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import examples, json_requests, json_responses, metrics
from serving.descriptions import metadata_dict, statuses_dict
from serving.errors import Code, ServingError, invalid
from serving.predictor import Predictor
from serving.settings import ServerSettings
from serving.tensors import elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

METRICS_PATH = "/monitoring/prometheus/metrics"

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(rf"{_MODEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_EXAMPLE_METHODS = {"classify": examples.CLASSIFY, "regress": examples.REGRESS}
_STATUS = re.compile(rf"{_MODEL}(/metadata)?", re.IGNORECASE | re.ASCII)
_NO_MODEL = re.compile(r"/v1/models(/metadata)?", re.IGNORECASE)

_JSON_HEADER = (b"content-type", b"application/json")
_CLOSE_HEADER = (b"connection", b"close")

_LOGGER = logging.getLogger(__name__)


def create_app(
    predictor: Predictor, settings: ServerSettings, pages: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """Create the application of all HTTP routes.

    Args:
      predictor: Runs the requests.
      settings: Timeouts and limits.
      pages: Further routes, outside of `/v1` and `/monitoring`.
    """

    async def prometheus(request: Request) -> Response:
        return Response(predictor.metrics.page(), media_type=metrics.CONTENT_TYPE)

    async def no_match(request: Request, error: Exception) -> Response:
        message = f"Malformed request: {request.method} {request.url.path}"
        return Response(_error_body(message), 400, media_type="application/json")

    api = RestApi(predictor, settings)
    other = Starlette(
        routes=[Route(METRICS_PATH, prometheus, methods=["GET"]), *pages],
        exception_handlers={404: no_match, 405: no_match},
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The API gets thousands of requests a second and needs no router.
        is_api = scope["type"] == "http" and scope["path"][:4].lower() == "/v1/"
        await (api if is_api else other)(scope, receive, send)

    return app


class RestApi:
    """The routes below `/v1`, as a plain ASGI application for speed.

    Args:
      predictor: Runs the requests.
      settings: Timeouts and limits.
    """

    def __init__(self, predictor: Predictor, settings: ServerSettings) -> None:
        self._predictor = predictor
        self._versions = predictor.versions
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = await self._respond(scope, receive)
            status, close = 200, False
        except ServingError as error:
            body, status = _error_body(error.message), error.http_status
            close = status == 413
        except ClientDisconnect:
            return
        headers = [_JSON_HEADER, (b"content-length", str(len(body)).encode())]
        if close:
            headers.append(_CLOSE_HEADER)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, receive: Receive) -> bytes:
        path, verb = scope["raw_path"].decode("latin-1"), scope["method"]
        if verb == "POST" and (found := _PREDICT.fullmatch(path)):
            body = await self._read(scope, receive)
            return await self._predict(body, *_model(found), found[4].lower())
        if verb == "GET" and _NO_MODEL.fullmatch(path):
            raise invalid("Missing model name in request.")
        if verb == "GET" and (found := _STATUS.fullmatch(path)):
            name, version, label = _model(found)
            if found[4]:
                with self._versions.using(name, version, label) as servable:
                    return _json(metadata_dict(servable))
            return _json(statuses_dict(self._versions.statuses(name, version, label)))
        raise invalid(f"Malformed request: {verb} {path}")

    async def _predict(
        self, body: bytes, name: str, version: int | None, label: str | None, method: str
    ) -> bytes:
        started = time.monotonic()
        error = None
        try:
            if method == "predict":
                return await self._predict_body(body, name, version, label)
            example_method = _EXAMPLE_METHODS[method]
            return await self._examples_body(example_method, body, name, version, label)
        except ServingError as raised:
            error = raised
            raise
        except Exception:
            _LOGGER.exception("a request failed by a defect of the server")
            error = ServingError(Code.INTERNAL, "Internal error, see the server's log")
            raise error from None
        finally:
            self._predictor.record("REST", method.capitalize(), name, started, error)

    async def _predict_body(
        self, body: bytes, name: str, version: int | None, label: str | None
    ) -> bytes:
        is_large = len(body) > LARGE_BYTES
        document = await offload_if(is_large, lambda: json_requests.parse_object(body))
        chosen = json_requests.signature_name(document)
        with self._versions.using(name, version, label) as servable:
            signature = servable.signature(chosen)
            if signature is None:
                raise invalid(
                    f'Serving signature name: "{chosen or "serving_default"}" '
                    "not found in signature def"
                )
            specs = signature.inputs
            inputs, layout = await offload_if(
                is_large, lambda: json_requests.decode_inputs(document, specs)
            )
            timeout = self._settings.request_timeout
            outputs = await self._predictor.run(servable, signature, inputs, timeout)
        return await offload_if(
            elements(outputs) > LARGE_ELEMENTS,
            lambda: json_responses.encode_outputs(outputs, layout),
        )

    async def _examples_body(
        self,
        method: examples.Method,
        body: bytes,
        name: str,
        version: int | None,
        label: str | None,
    ) -> bytes:
        is_large = len(body) > LARGE_BYTES
        document = await offload_if(is_large, lambda: json_requests.parse_object(body))
        chosen = json_requests.signature_name(document)
        inputs = await offload_if(is_large, lambda: examples.parse_examples(document))
        with self._versions.using(name, version, label) as servable:
            signature = examples.signature_for(servable, chosen, method)
            timeout = self._settings.request_timeout
            outputs = await self._predictor.run(servable, signature, inputs, timeout)
        return await offload_if(
            elements(outputs) > LARGE_ELEMENTS,
            lambda: examples.results_json(method, outputs, elements(inputs)),
        )

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """Read the whole body; one that is too large is read to its end and discarded."""
        limit = self._settings.max_request_bytes
        headers = dict(scope["headers"])
        too_large = ServingError(
            Code.INVALID_ARGUMENT,
            f"The body has more than {limit} bytes (--max_request_bytes)",
            http_status=413,
        )
        declared = headers.get(b"content-length", b"0")
        if b"expect" in headers and int(declared) > limit:
            raise too_large
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            size += len(message["body"])
            if size > limit:
                pieces.clear()
            else:
                pieces.append(message["body"])
            more = message["more_body"]
        if size > limit:
            raise too_large
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _model(found: re.Match[str]) -> tuple[str, int | None, str | None]:
    name, number, label = found[1], found[2], found[3]
    version = int(number) if number and len(number) <= 19 else None
    if number and (version is None or version >= 2**63):
        raise invalid(f"Failed to convert version: {number} to numeric.")
    return unquote(name), version, unquote(label) if label else None


def _error_body(message: str) -> bytes:
    # Standard JSON escapes what is not text, such as half of a surrogate pair.
    return json.dumps({"error": message}).encode()


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)
