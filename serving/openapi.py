"""The description of the HTTP routes by OpenAPI 3.1, for the models and signatures that serve."""

from collections.abc import Iterator
from typing import Any

import orjson
import tensorflow as tf
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hln_tf import __version__
from serving.models import Models
from serving.servable import Servable

Schema = dict[str, Any]

_ERROR_SCHEMA = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_BASE64 = {
    "type": "object",
    "properties": {"b64": {"type": "string"}},
    "required": ["b64"],
    "additionalProperties": False,
}
# The methods of signatures by their part of the path.
_METHODS = {
    "tensorflow/serving/predict": "predict",
    "tensorflow/serving/classify": "classify",
    "tensorflow/serving/regress": "regress",
}
# Numbers are of any size, `NaN` and the infinities among them, which JSON Schema cannot say.
_RESULTS: Schema = {
    "predict": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"predictions": {"type": "array"}, "outputs": {}},
        "additionalProperties": False,
    },
    "classify": {
        "type": "object",
        "properties": {"results": {"type": "array", "items": {"type": "array"}}},
        "required": ["results"],
    },
    "regress": {
        "type": "object",
        "properties": {"results": {"type": "array", "items": {"type": "number"}}},
        "required": ["results"],
    },
}
_EXAMPLE: Schema = {"type": "object", "additionalProperties": {}}


def openapi_route(models: Models, has_token: bool) -> Route:
    """Create the route `/openapi.json`.

    Args:
      models: The models.
      has_token: Whether requests need a bearer token.
    """

    async def openapi(request: Request) -> Response:
        return Response(orjson.dumps(document(models, has_token)), media_type="application/json")

    return Route("/openapi.json", openapi, methods=["GET"])


def document(models: Models, has_token: bool) -> Schema:
    """Describe the routes for the versions that requests get by default."""
    paths: dict[str, Schema] = dict(_fixed_paths())
    for name in models.names:
        with models.using(name, None, None) as servable:
            paths |= dict(_model_paths(servable))
    described: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "hln-tf",
            "version": __version__,
            "description": "TensorFlow Serving's REST API and the Open Inference Protocol (V2).",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR_SCHEMA}},
    }
    if has_token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def _fixed_paths() -> Iterator[tuple[str, Schema]]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    yield "/healthz", _get("Return 200 while the process lives.", text, open_to_all=True)
    ready = _get("Return 200 while requests are welcome.", text, open_to_all=True)
    ready["get"]["responses"]["503"] = {"description": "The server drains.", "content": text}
    yield "/readyz", ready
    yield "/monitoring/prometheus/metrics", _get("Return the metrics.", text)
    yield "/openapi.json", _get("Return this document.", _json({"type": "object"}))
    for part in ("live", "ready"):
        state = {"type": "object", "properties": {part: {"type": "boolean"}}, "required": [part]}
        path = _get(f"Return whether the server is {part}.", _json(state), open_to_all=True)
        path["get"]["responses"]["503"] = {"description": "It is not.", "content": _json(state)}
        yield f"/v2/health/{part}", path
    model = _query("model", "Name of the model; the first one without it.")
    yield "/page/model", _get("Return name, version and model card.", _json(_OBJECT), [model])
    found = _query("q", "Text that the ids of the items contain.")
    items = {"type": "array", "items": {"type": "string"}}
    yield "/page/items", _get("Return known items.", _json(items), [found, model])
    flags = {"type": "array", "items": {"type": "boolean"}}
    known = _post([items], flags, [model])
    known["post"]["summary"] = "Return for each item whether the model knows it."
    yield "/page/known", known
    yield "/v2", _get("Return the server's name, version and extensions.", _json(_OBJECT))


_OBJECT: Schema = {"type": "object"}


def _model_paths(servable: Servable) -> Iterator[tuple[str, Schema]]:
    name = servable.name
    version: Schema = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    }
    for where, parameters in (("", []), ("/versions/{version}", [version])):
        first, second = f"/v1/models/{name}{where}", f"/v2/models/{name}{where}"
        yield first, _get("Return the state of versions.", _json(_OBJECT), parameters)
        yield f"{first}/metadata", _get("Return the signatures.", _json(_OBJECT), parameters)
        for method in sorted(set(_METHODS.values())):
            bodies = list(_bodies(servable, method))
            if bodies:
                yield f"{first}:{method}", _post(bodies, _RESULTS[method], parameters)
        yield second, _get("Return inputs and outputs.", _json(_OBJECT), parameters)
        yield f"{second}/ready", _get("Return whether it serves.", _json(_OBJECT), parameters)
        bodies = [_v2_body(servable, signature) for signature in _names(servable)]
        yield f"{second}/infer", _post(bodies, _OBJECT, parameters)


def _names(servable: Servable) -> list[str]:
    return [name for name in sorted(servable.signature_defs) if servable.signature(name)]


def _bodies(servable: Servable, method: str) -> Iterator[Schema]:
    """Describe the bodies of the signatures of a method."""
    for name in _names(servable):
        definition = servable.signature_defs[name]
        if method == "predict":
            tensors = {key: _tensor(info) for key, info in definition.inputs.items()}
            rows = {key: _tensor(info, is_row=True) for key, info in definition.inputs.items()}
            yield _body(name, "inputs", _by_name(tensors))
            if all(not _is_scalar(info) for info in definition.inputs.values()):
                instances = {"type": "array", "items": _by_name(rows), "minItems": 1}
                yield _body(name, "instances", instances)
        elif _METHODS.get(definition.method_name) == method:
            examples = {"type": "array", "items": _EXAMPLE, "minItems": 1}
            body = _body(name, "examples", examples)
            body["properties"]["context"] = _EXAMPLE
            yield body


def _body(signature: str, key: str, value: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"signature_name": {"const": signature}, key: value},
        "required": ["signature_name", key],
    }


def _by_name(tensors: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": tensors,
        "required": sorted(tensors),
        "additionalProperties": False,
    }


def _v2_body(servable: Servable, signature: str) -> Schema:
    definition = servable.signature_defs[signature]
    chosen = {"type": "object", "properties": {"signature_name": {"const": signature}}}
    tensor = {
        "type": "object",
        "properties": {
            "name": {"enum": sorted(definition.inputs)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {**chosen, "required": ["signature_name"]},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
        },
        "required": ["parameters", "inputs"],
    }


def _tensor(info: Any, is_row: bool = False) -> Schema:
    """Describe the nested lists of a tensor, or of a row of it."""
    if info.tensor_shape.unknown_rank:
        return {}
    sizes = [dimension.size for dimension in info.tensor_shape.dim][1 if is_row else 0 :]
    schema = _value(tf.as_dtype(info.dtype))
    for size in reversed(sizes):
        schema = {"type": "array", "items": schema}
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def _value(dtype: tf.DType) -> Schema:
    if dtype.is_integer:
        return {"type": "integer", "minimum": int(dtype.min), "maximum": int(dtype.max)}
    if dtype.is_floating:
        return {"type": "number"}
    return {"type": "boolean"} if dtype.is_bool else {"anyOf": [{"type": "string"}, _BASE64]}


def _is_scalar(info: Any) -> bool:
    return not info.tensor_shape.unknown_rank and not info.tensor_shape.dim


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _query(name: str, description: str) -> Schema:
    schema = {"type": "string"}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _responses(content: Schema) -> Schema:
    error = _json({"$ref": "#/components/schemas/Error"})
    return {
        "200": {"description": "The answer.", "content": content},
        "default": {"description": "The error.", "content": error},
    }


def _get(
    summary: str, content: Schema, parameters: list[Schema] | None = None, open_to_all: bool = False
) -> Schema:
    operation: Schema = {"summary": summary, "responses": _responses(content)}
    if parameters:
        operation["parameters"] = parameters
    if open_to_all:
        operation["security"] = []
    return {"get": operation}


def _post(bodies: list[Schema], result: Schema, parameters: list[Schema]) -> Schema:
    operation: Schema = {
        "summary": "Run a signature.",
        "requestBody": {"required": True, "content": _json({"anyOf": bodies})},
        "responses": _responses(_json(result)),
    }
    if parameters:
        operation["parameters"] = parameters
    return {"post": operation}
