"""The REST contract, over a socket to a server process."""

import json

import pytest

from serving.errors import Code, http_status_of

MODEL = "/v1/models/half_plus_two"
# Version 2 is the latest and adds three; version 1 is stable and adds two.
V1 = "/versions/1"


def test_half_plus_two(half_plus_two):
    assert half_plus_two.predict({"instances": [1.0, 2.0]}, V1) == (
        200,
        {"predictions": [2.5, 3.0]},
    )
    assert half_plus_two.predict({"instances": [[1, 2], [3, 4]]}, V1) == (
        200,
        {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    )


@pytest.mark.parametrize(
    ("where", "bias"), [("", 3.0), (V1, 2.0), ("/labels/stable", 2.0), ("/labels/canary", 3.0)]
)
def test_versions_and_labels(half_plus_two, where, bias):
    assert half_plus_two.predict({"instances": [0]}, where) == (200, {"predictions": [bias]})


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [{"x": 1}, {"x": 2}]}, {"predictions": [3.5, 4.0]}),
        ({"inputs": 1}, {"outputs": 3.5}),
        ({"inputs": [1, 2]}, {"outputs": [3.5, 4.0]}),
        ({"inputs": {"x": [[1]], "other": "ignored"}}, {"outputs": [[3.5]]}),
        ({"instances": [1], "unknown": {}}, {"predictions": [3.5]}),
        ({"instances": [1], "signature_name": ""}, {"predictions": [3.5]}),
        (
            {"instances": [1, 3], "signature_name": "two_outputs"},
            {"predictions": [{"double": 2, "half": 0.5}, {"double": 6, "half": 1.5}]},
        ),
        (
            {"inputs": [1, 3], "signature_name": "two_outputs"},
            {"outputs": {"double": [2, 6], "half": [0.5, 1.5]}},
        ),
        ({"inputs": [1, 2], "signature_name": "scalar"}, {"outputs": 3.0}),
        (
            {
                "instances": [{"word": "a", "times": 2}, {"word": {"b64": "w6k="}, "times": 0}],
                "signature_name": "text",
            },
            {
                "predictions": [
                    {"text": "ax2", "text_bytes": {"b64": "YXgy"}},
                    {"text": "éx0", "text_bytes": {"b64": "w6l4MA=="}},
                ]
            },
        ),
    ],
)
def test_layouts(half_plus_two, body, answer):
    assert half_plus_two.predict(body) == (200, answer)


def test_nan_and_infinity_in_both_directions(half_plus_two):
    status, _, body = half_plus_two.raw(
        "POST", f"{MODEL}:predict", b'{"instances": [NaN, Infinity, -Infinity, 0.2]}'
    )
    assert (status, body) == (200, b'{"predictions":[NaN,Infinity,-Infinity,3.1]}')


def test_float32_is_written_in_its_own_digits(half_plus_two):
    _, _, body = half_plus_two.raw(
        "POST", f"{MODEL}:predict", b'{"instances":[0.2],"signature_name":"two_outputs"}'
    )
    assert json.loads(body) == {"predictions": [{"half": 0.1, "double": 0.4}]}


NUMBERS = {"f": [1], "d": [1], "i": [1], "j": [1], "u": [1], "b": [True]}


def test_every_type(half_plus_two):
    body = {"inputs": NUMBERS, "signature_name": "numbers"}
    assert half_plus_two.predict(body) == (200, {"outputs": {**NUMBERS, "f": [1.0], "d": [1.0]}})


@pytest.mark.parametrize("wrong", ["1.0", "1e2", '"1"', "true", "null", "2147483648", "{}"])
def test_integers_are_strict(server, wrong):
    inputs = {name: value for name, value in NUMBERS.items() if name != "i"}
    body = {"inputs": {**inputs, "i": ["?"]}, "signature_name": "numbers"}
    status, answer = server.predict(json.dumps(body).replace('"?"', wrong).encode())
    assert status == 400 and set(answer) == {"error"}


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/foo"),
        ("GET", f"{MODEL}:predict"),
        ("POST", MODEL),
        ("PUT", f"{MODEL}:predict"),
        ("DELETE", MODEL),
        ("POST", f"{MODEL}:guess"),
        ("GET", f"{MODEL}/versions/one"),
        ("POST", f"{MODEL}/versions/1/labels/stable:predict"),
    ],
)
def test_unknown_routes_are_malformed(server, verb, path):
    assert server.ask(verb, path) == (400, {"error": f"Malformed request: {verb} {path}"})


def test_routes_ignore_case(server):
    assert server.ask("GET", MODEL.replace("models", "MODELS"))[0] == 200


@pytest.mark.parametrize(
    ("where", "status", "error"),
    [
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/x", 404, "Could not find any versions of model x"),
        ("/v1/models/x/versions/9", 404, "Could not find version 9 of model x"),
        (f"{MODEL}/versions/9", 404, "Could not find version 9 of model half_plus_two"),
        (f"{MODEL}/labels/foo", 400, "Unrecognized servable version label: foo"),
        ("/v1/models/x/metadata", 404, "Servable not found for request: Latest(x)"),
        ("/elsewhere", 400, "Malformed request: GET /elsewhere"),
        ("/v1", 400, "Malformed request: GET /v1"),
    ],
)
def test_errors_of_get(server, where, status, error):
    assert server.ask("GET", where) == (status, {"error": error})


@pytest.mark.parametrize("where", ["/", "/monitoring/prometheus/metrics", "/v1/foo"])
def test_another_verb_is_malformed(server, where):
    assert server.ask("PUT", where) == (400, {"error": f"Malformed request: PUT {where}"})


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (200, {Code.OK}),
        (400, {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE}),
        (404, {Code.NOT_FOUND}),
        (409, {Code.ALREADY_EXISTS, Code.ABORTED}),
        (429, {Code.RESOURCE_EXHAUSTED}),
        (501, {Code.UNIMPLEMENTED}),
        (401, {Code.UNAUTHENTICATED}),
        (403, {Code.PERMISSION_DENIED}),
        (499, {Code.CANCELLED}),
        (503, {Code.UNAVAILABLE}),
        (504, {Code.DEADLINE_EXCEEDED}),
        (500, {Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS}),
    ],
)
def test_each_code_has_its_http_status(status, codes):
    assert {code for code in Code if http_status_of(code) == status} == codes


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/models/x:predict", 404, "Servable not found for request: Latest(x)"),
        (
            "/v1/models/x/versions/99:predict",
            404,
            "Servable not found for request: Specific(x, 99)",
        ),
        (
            f"{MODEL}/versions/99:predict",
            404,
            "Servable not found for request: Specific(half_plus_two, 99)",
        ),
        (f"{MODEL}/labels/foo:predict", 400, "Unrecognized servable version label: foo"),
        (
            f"{MODEL}/versions/9223372036854775808:predict",
            400,
            "Failed to convert version: 9223372036854775808 to numeric.",
        ),
    ],
)
def test_errors_of_the_route(server, path, status, error):
    assert server.ask("POST", path, b'{"instances": [1]}') == (status, {"error": error})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error:"),
        (b'{"instances": [1]} x', "JSON Parse error:"),
        (b"1", "JSON Value: 1 Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": [1], "inputs": [1]}', "expecting only one of 'inputs' or 'instances'"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"instances": 1}', "Expecting 'instances' to be an list/array"),
        (b'{"instances": [1], "signature_name": 1}', "'signature_name' key must be a string"),
        (
            b'{"instances": [1], "signature_name": "foo"}',
            'Serving signature name: "foo" not found in signature def',
        ),
        (b'{"instances": [[1, 2], [3]]}', "Failed to process element: 1 of 'instances' list."),
        (b'{"instances": [1, [2]]}', "Expecting shape [] but got: [1]"),
        (b'{"instances": [[1], 2]}', "Failed to process element: 1"),
        (b'{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1"),
        (b'{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1"),
        (b'{"instances": [{"y": 1}]}', "does not have named input: y"),
        (b'{"instances": [{}]}', "keys must be equal to: x"),
        (b'{"instances": [{"x": 1, "y": 1}]}', "does not have named input: y"),
        (b'{"instances": ["a"]}', 'JSON Value: "a" Type: String is not of expected type: float'),
        (b'{"instances": [1e999]}', "JSON Parse error: Number too big"),
        (b'{"inputs": {"y": 1}}', "Missing named input: x in 'inputs' object."),
        (b'{"inputs": 1, "signature_name": "text"}', "expecting an object as multiple"),
        (b'{"instances": [1], "signature_name": "text"}', "expecting list of objects as multiple"),
        (b'{"instances": [1, 2], "signature_name": "scalar"}', "has no shape information"),
        (b'{"instances": [-1], "signature_name": "root"}', "assertion failed"),
        (
            b'{"instances": [{"word": {"b64": "?"}, "times": 1}], "signature_name": "text"}',
            "Unable to base64 decode",
        ),
        (
            b'{"instances": [{"word": "\\ud800", "times": 1}], "signature_name": "text"}',
            "surrogate pair",
        ),
        (b'{"instances": ["\xff"]}', "JSON Parse error: Invalid encoding in string."),
        (b'{"instances": ' + b"9" * 5000 + b"}", "JSON Parse error"),
    ],
)
def test_errors_of_the_body(half_plus_two, body, message):
    status, answer = half_plus_two.predict(body)
    assert status == 400 and list(answer) == ["error"]
    assert message in answer["error"]


def test_status(server):
    expected = {
        "model_version_status": [
            {
                "version": version,
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for version in ("1", "2")
        ]
    }
    assert server.ask("GET", MODEL) == (200, expected)
    one = {"model_version_status": expected["model_version_status"][:1]}
    assert server.ask("GET", f"{MODEL}{V1}") == (200, one)
    assert server.ask("GET", f"{MODEL}/labels/stable") == (200, one)


def test_metadata(server):
    status, answer = server.ask("GET", f"{MODEL}{V1}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"] == {
        "x": {
            "dtype": "DT_FLOAT",
            "tensor_shape": {"dim": [], "unknown_rank": True},
            "name": "serving_default_x:0",
        }
    }
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["slow"]["inputs"]["rounds"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_responses_have_json_headers(server):
    for body in (b'{"instances": [1]}', b"{"):
        _, headers, data = server.raw("POST", f"{MODEL}:predict", body)
        assert headers["content-type"] == "application/json"
        assert int(headers["content-length"]) == len(data)
