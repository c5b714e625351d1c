"""All HTTP routes as one ASGI application, and TensorFlow Serving's REST API among them."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import examples, json_requests, json_responses, metrics
from serving.descriptions import metadata_dict, statuses_dict
from serving.errors import ServingError, invalid
from serving.gateway import call_of, error_body
from serving.predictor import Predictor
from serving.tensors import elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

METRICS_PATH = "/monitoring/prometheus/metrics"

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(rf"{_MODEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_EXAMPLE_METHODS = {"classify": examples.CLASSIFY, "regress": examples.REGRESS}
_STATUS = re.compile(rf"{_MODEL}(/metadata)?", re.IGNORECASE | re.ASCII)
_NO_MODEL = re.compile(r"/v1/models(/metadata)?", re.IGNORECASE)

_JSON_HEADER = (b"content-type", b"application/json")


def create_app(
    predictor: Predictor, apis: dict[str, ASGIApp], pages: Sequence[BaseRoute]
) -> ASGIApp:
    """Create the application of all HTTP routes.

    Args:
      predictor: Runs the requests.
      apis: Applications by the first part of the path, such as `v1`.
      pages: Further routes.
    """

    async def prometheus(request: Request) -> Response:
        return Response(predictor.metrics.page(), media_type=metrics.CONTENT_TYPE)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        if predictor.is_ready:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("draining\n", 503)

    async def no_match(request: Request, error: Exception) -> Response:
        return await refuse(request, malformed(request.scope))

    async def refuse(request: Request, error: Any) -> Response:
        call_of(request.scope).error = error
        return Response(error_body(error), error.http_status, media_type="application/json")

    other = Starlette(
        routes=[
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route(METRICS_PATH, prometheus, methods=["GET"]),
            *pages,
        ],
        exception_handlers={404: no_match, 405: no_match, ServingError: refuse},
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The APIs get thousands of requests a second and need no router.
        first = scope["path"].removeprefix("/").partition("/")[0]
        api = apis.get(first.lower())
        await (api or other)(scope, receive, send)

    return app


class RestApi:
    """The routes below `/v1`, as a plain ASGI application for speed.

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
        await send_json(send, await self._respond(scope, receive))

    async def _respond(self, scope: Scope, receive: Receive) -> bytes:
        path, verb = scope["raw_path"].decode("latin-1"), scope["method"]
        call = call_of(scope)
        if verb == "POST" and (found := _PREDICT.fullmatch(path)):
            method = found[4].lower()
            call.api = method.capitalize()
            name, version, label = model_of(found)
            call.model = name
            body = (await receive())["body"]
            if method == "predict":
                return await self._predict(body, name, version, label)
            return await self._run_examples(_EXAMPLE_METHODS[method], body, name, version, label)
        if verb == "GET" and _NO_MODEL.fullmatch(path):
            raise invalid("Missing model name in request.")
        if verb == "GET" and (found := _STATUS.fullmatch(path)):
            call.api = "GetModelMetadata" if found[4] else "GetModelStatus"
            name, version, label = model_of(found)
            call.model = name
            if found[4]:
                with self._models.using(name, version, label) as servable:
                    return _json(metadata_dict(servable))
            return _json(statuses_dict(self._models.statuses(name, version, label)))
        raise malformed(scope)

    async def _predict(
        self, body: bytes, name: str, version: int | None, label: str | None
    ) -> bytes:
        is_large = len(body) > LARGE_BYTES
        document = await offload_if(is_large, lambda: json_requests.parse_object(body))
        chosen = json_requests.signature_name(document)
        with self._models.using(name, version, label) as servable:
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
            outputs = await self._predictor.run(servable, signature, inputs, self._timeout)
        return await offload_if(
            elements(outputs) > LARGE_ELEMENTS,
            lambda: json_responses.encode_outputs(outputs, layout),
        )

    async def _run_examples(
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
        with self._models.using(name, version, label) as servable:
            signature = examples.signature_for(servable, chosen, method)
            outputs = await self._predictor.run(servable, signature, inputs, self._timeout)
        return await offload_if(
            elements(outputs) > LARGE_ELEMENTS,
            lambda: examples.results_json(method, outputs, elements(inputs)),
        )


async def send_json(
    send: Send, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (), status: int = 200
) -> None:
    """Send a response whose body is JSON, unless a header says otherwise."""
    length = (b"content-length", str(len(body)).encode())
    if not any(name == b"content-type" for name, _ in headers):
        headers = [_JSON_HEADER, *headers]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def malformed(scope: Scope) -> ServingError:
    """Create the error of a request that fits no route, in TensorFlow Serving's words."""
    return invalid(f"Malformed request: {scope['method']} {scope['raw_path'].decode('latin-1')}")


def model_of(found: re.Match[str]) -> tuple[str, int | None, str | None]:
    """Return name, version and label of a model in a path, the first three groups of a match.

    Raises:
      ServingError: INVALID_ARGUMENT; the version is no 64-bit integer.
    """
    name, number, label = found[1], found[2], found[3]
    version = int(number) if number and len(number) <= 19 else None
    if number and (version is None or version >= 2**63):
        raise invalid(f"Failed to convert version: {number} to numeric.")
    return unquote(name), version, unquote(label) if label else None


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)
