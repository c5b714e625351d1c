"""The JSON codec against TensorFlow Serving's: bodies, and the answers of its own codec to them.

Each row is a type, a body and the answer: the value, or the text of the error. Where this server
differs on purpose, the row says so in `DIFFERENT` with the sentence that the documents have.
"""

import gzip
import json

import numpy as np
import pytest

from serving.errors import ServingError
from serving.json_requests import decode_inputs, parse_object
from serving.json_responses import encode_outputs
from serving.tensors import InputSpec, Layout

TYPES = {
    "float": np.float32,
    "double": np.float64,
    "half": np.float16,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
    "uint32": np.uint32,
    "int64": np.int64,
    "uint64": np.uint64,
    "bool": np.bool_,
    "string": np.object_,
}
PAIR = {"items": "int64", "len": "int32"}
INFINITY = float("inf")


def decoded(body, kinds):
    """The tensors of a body, for inputs with these types by name, or for one input `x`."""
    kinds = kinds if isinstance(kinds, dict) else {"x": kinds}
    specs = {name: InputSpec(np.dtype(TYPES[kind]), kind) for name, kind in kinds.items()}
    tensors, _ = decode_inputs(parse_object(body), specs)
    return {name: array.tolist() for name, array in tensors.items()}


def refusal(body, kinds):
    with pytest.raises(ServingError) as caught:
        decoded(body, kinds)
    return caught.value


def single(values):
    """Numbers as float32 has them."""
    return np.float32(values).tolist()


VALUES = [
    ("int64", b'{"instances":[1],"instances":[2]}', [1]),
    (PAIR, b'{"instances":[{"items":[1,2],"len":2,"items":[5,6]}]}', [[1, 2]]),
    (
        "float",
        b'{"instances":[1,0.1,9000000,123456.7,16777217,1e30,1.5e-45,-0.0,1700000000]}',
        single([1, 0.1, 9000000, 123456.7, 16777216, 1e30, 1.5e-45, -0.0, 1.7e9]),
    ),
    ("double", b'{"instances":[9007199254740993]}', [9007199254740992.0]),
    ("double", b'{"instances":[18446744073709551617]}', [18446744073709551616.0]),
    ("float", b'{"instances":[Inf,-Inf,Infinity,-Infinity]}', [INFINITY, -INFINITY] * 2),
    ("float", b'{"instances":[1e39,-1e39]}', [INFINITY, -INFINITY]),
    ("float", b'{"instances":[3.4028235e38,123456789]}', single([3.4028235e38, 123456792])),
    ("float", b'{"instances":[-3.4028235e+38]}', single([-3.4028235e38])),
    ("string", b'{"instances":[{"b64":"aGVsbG8"}]}', [b"hello"]),
    ("string", b'{"instances":[{"b64":"aGVsbG8="}]}', [b"hello"]),
    ("string", b'{"instances":[{"b64":"aGVs bG8."}]}', [b"hello"]),
    ("string", b'{"instances":[{"b64":""}]}', [b""]),
    ("string", b'{"instances":[{"b64":"aGk="},"hi"]}', [b"hi", b"hi"]),
    ("string", '{"instances":["\\u00e9\\ud83d\\ude00é"]}'.encode(), ["é😀é".encode()]),
    ("bool", b'{"instances":[true,false]}', [True, False]),
    ("int8", b'{"instances":[-128,127]}', [-128, 127]),
    ("uint64", b'{"instances":[18446744073709551615]}', [2**64 - 1]),
    ("int32", b'{"instances":[-0]}', [0]),
    ("int32", b'\xef\xbb\xbf{"instances":[1]}', [1]),
    ("int32", b' \t\r\n{ "instances" : [ 1 ] } \n', [1]),
    ("float", b'{"instances":[[[]]]}', [[[]]]),
    ("float", b'{"inputs":1.5}', 1.5),
    ("float", b'{"inputs":{"x":[1],"other":[2]}}', [1.0]),
]


@pytest.mark.parametrize(("kinds", "body", "value"), VALUES)
def test_values(kinds, body, value):
    assert next(iter(decoded(body, kinds).values())) == value


ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "
ERRORS = [
    # Shapes
    (
        "int64",
        b'{"instances":[[1,2],[3]]}',
        ELEMENT.format(1) + "Expecting tensor size: 2 but got: 1",
    ),
    (
        "int64",
        b'{"instances":[[[1,2]],[[1],[2]]]}',
        ELEMENT.format(1) + "Expecting shape [1,2] but got: [2,1]",
    ),
    (
        "int64",
        b'{"inputs":[[1,2],[3]]}',
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    ("int64", b'{"inputs":[1,[2]]}', "Encountered list at unexpected level: 1 expected < 1"),
    (
        "int64",
        b'{"inputs":[[1],2]}',
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    # The forms of requests
    (
        "int64",
        b'{"instances":[]}',
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    (
        "int64",
        b'{"instances":5}',
        "JSON Value: {\n    \"instances\": 5\n} Expecting 'instances' to be an list/array",
    ),
    (
        "int64",
        b'{"instances":[1],"inputs":[1]}',
        'JSON Value: {\n    "instances": [\n        1\n    ],\n    "inputs": [\n        1\n'
        "    ]\n} "
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    ("int64", b"{}", "Missing 'inputs' or 'instances' key"),
    ("int64", b"[1]", "JSON Value: [\n    1\n] Is not object"),
    ("int64", b"1.5", "JSON Value: 1.5 Is not object"),
    ("int64", b'"a"', 'JSON Value: "a" Is not object'),
    ("int64", b"null", "JSON Value: null Is not object"),
    (
        PAIR,
        b'{"instances":[1]}',
        "instances is a plain list, but expecting list of objects as multiple input tensors "
        "required as per tensorinfo_map",
    ),
    (
        PAIR,
        b'{"inputs":[1]}',
        "inputs is a plain value/list, but expecting an object as multiple input tensors "
        "required as per tensorinfo_map",
    ),
    (PAIR, b'{"inputs":{"items":[1]}}', "Missing named input: len in 'inputs' object."),
    (
        "int64",
        b'{"instances":[{"x":1},2]}',
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "int64",
        b'{"instances":[1,{"x":1}]}',
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        "int64",
        b'{"instances":[{"y":1}]}',
        ELEMENT.format("0 key: y") + "JSON object: does not have named input: y",
    ),
    (
        PAIR,
        b'{"instances":[{"len":1}]}',
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"len\": 1\n} "
        "keys must be equal to: items,len",
    ),
    # Types
    (
        "int32",
        b'{"instances":[1.0]}',
        ELEMENT.format(0) + "JSON Value: 1.0 Type: Number is not of expected type: int32",
    ),
    (
        "int32",
        b'{"instances":[1e2]}',
        ELEMENT.format(0) + "JSON Value: 100.0 Type: Number is not of expected type: int32",
    ),
    (
        "int32",
        b'{"instances":[1,2147483648]}',
        ELEMENT.format(1) + "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    (
        "int64",
        b'{"instances":["1"]}',
        ELEMENT.format(0) + 'JSON Value: "1" Type: String is not of expected type: int64',
    ),
    (
        "int64",
        b'{"instances":[true]}',
        ELEMENT.format(0) + "JSON Value: true Type: True is not of expected type: int64",
    ),
    (
        "float",
        b'{"instances":[false]}',
        ELEMENT.format(0) + "JSON Value: false Type: False is not of expected type: float",
    ),
    (
        "float",
        b'{"inputs":[null]}',
        "JSON Value: null Type: Null is not of expected type: float",
    ),
    (
        "double",
        b'{"inputs":{"x":[{}]}}',
        "JSON Value: {} Type: Object is not of expected type: double",
    ),
    (
        "bool",
        b'{"inputs":[1]}',
        "JSON Value: 1 Type: Number is not of expected type: bool",
    ),
    (
        "uint32",
        b'{"inputs":[-1]}',
        "JSON Value: -1 Type: Number is not of expected type: uint32",
    ),
    (
        "string",
        b'{"inputs":[NaN]}',
        "JSON Value: NaN Type: Number is not of expected type: string",
    ),
    (
        "string",
        b'{"inputs":[0.1]}',
        "JSON Value: 0.1 Type: Number is not of expected type: string",
    ),
    (
        "string",
        b'{"inputs":[9000000.0]}',
        "JSON Value: 9e+06 Type: Number is not of expected type: string",
    ),
    (
        "string",
        b'{"inputs":[123456.7]}',
        "JSON Value: 123456.703 Type: Number is not of expected type: string",
    ),
    (
        "half",
        b'{"instances":[1.0]}',
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of "
        "JSON Value: 1.0 to type: half",
    ),
    # Base64
    (
        "string",
        b'{"instances":[{"b64":"aGk=","z":1}]}',
        ELEMENT.format("0 key: b64") + "JSON object: does not have named input: b64",
    ),
    (
        "string",
        b'{"instances":[{"b64":"aGk=="}]}',
        ELEMENT.format(0) + "Unable to base64 decode",
    ),
    ("string", b'{"instances":[{"b64":"?"}]}', ELEMENT.format(0) + "Unable to base64 decode"),
    ("string", b'{"instances":[{"b64":"aGVsb"}]}', ELEMENT.format(0) + "Unable to base64 decode"),
    (
        "string",
        b'{"inputs":{"x":[{"b64":1}]}}',
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
    ),
]


@pytest.mark.parametrize(("kinds", "body", "message"), ERRORS)
def test_errors(kinds, body, message):
    assert refusal(body, kinds).message == message


def test_half_is_not_implemented_in_a_column():
    assert refusal(b'{"inputs":[1.0]}', "half").http_status == 501


def test_the_name_of_a_signature_is_a_string():
    from serving.json_requests import signature_name

    with pytest.raises(ServingError, match="'signature_name' key must be a string value"):
        signature_name({"signature_name": 1})


# Every error of RapidJSON's parser, with its offset.
PARSE_ERRORS = [
    (b"", "The document is empty"),
    (b" ", "The document is empty. at offset: 1"),
    (b'{"instances":[1]', "Missing a comma or '}' after an object member. at offset: 16"),
    (b'{"a":1/* */}', "Missing a comma or '}' after an object member. at offset: 6"),
    (b'{"instances":[01]}', "Missing a comma or ']' after an array element. at offset: 15"),
    (b'{"instances":[1,]}', "Invalid value. at offset: 16"),
    (b'{"instances":[nan]}', "Invalid value. at offset: 15"),
    (b'{"a":tru}', "Invalid value. at offset: 8"),
    (b"{'instances':[1]}", "Missing a name for object member. at offset: 1"),
    (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
    (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    (b'{"instances":[1e400]}', "Number too big to be stored in double. at offset: 14"),
    (b'{"a":' + b"9" * 400 + b"}", "Number too big to be stored in double. at offset: 5"),
    (b'{"a":1.}', "Miss fraction part in number. at offset: 7"),
    (b'{"a":1e}', "Miss exponent in number. at offset: 7"),
    (b'{"a":"x', "Missing a closing quotation mark in string. at offset: 7"),
    (b'{"a":"\\x"}', "Invalid escape character in string. at offset: 6"),
    (b'{"a":"\\u00g0"}', "Incorrect hex digit after \\u escape in string. at offset: 6"),
    (b'{"a":"\\ud800"}', "The surrogate pair in string is invalid. at offset: 6"),
    (b'{"a":"\x01"}', "Invalid encoding in string. at offset: 6"),
    (b'\xef\xbb\xbf{"a":1,}', "Missing a name for object member. at offset: 10"),
]


@pytest.mark.parametrize(("body", "message"), PARSE_ERRORS)
def test_parse_errors(body, message):
    with pytest.raises(ServingError) as caught:
        parse_object(body)
    assert caught.value.message == f"JSON Parse error: {message}"
    assert caught.value.http_status == 400


# Differences on purpose, each with the documents' words for it.
DIFFERENT = [
    ("int8", b'{"instances":[300]}', "is not of expected type: int8"),
    ("uint8", b'{"instances":[-1]}', "is not of expected type: uint8"),
    ("int16", b'{"instances":[32768]}', "is not of expected type: int16"),
    (
        "int64",
        b'{"instances":[1]} trailing garbage',
        "The document root must not be followed by other values. at offset: 18",
    ),
    ("string", b'{"instances":["\xff"]}', "Invalid encoding in string. at offset: 15"),
    ("uint16", b'{"inputs":[1]}', "Conversion of JSON Value: 1 to type: uint16"),
]


@pytest.mark.parametrize(("kind", "body", "message"), DIFFERENT)
def test_differences_on_purpose(kind, body, message):
    assert message in refusal(body, kind).message


def test_a_document_has_a_number_of_values_at_most():
    body = b'{"inputs":[' + b"1," * 2**17 + b"1]}"
    assert "more than 65536 commas, brackets and braces" in refusal(body, "float").message


def test_a_long_value_is_echoed_to_500_characters():
    message = refusal(json.dumps({"inputs": ["x" * 10_000]}).encode(), "float").message
    assert message.startswith('JSON Value: "xxx') and len(message) < 600 and "..." in message


ROW_ERRORS = [
    ({"y": np.float32(1)}, "Tensor name: y has no shape information "),
    (
        {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)},
        "Tensor name: a has inconsistent batch size: 2 expecting: 3",
    ),
    ({"y": np.zeros(1, np.float16)}, "Failed to write JSON value for tensor type: half"),
    ({"y": np.zeros(1, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ({}, "Cannot convert empty tensor map to JSON"),
]


@pytest.mark.parametrize(("outputs", "message"), ROW_ERRORS)
def test_errors_of_rows(outputs, message):
    with pytest.raises(ServingError) as caught:
        encode_outputs({name: np.asarray(array) for name, array in outputs.items()}, Layout.ROW)
    assert caught.value.message == message


def test_a_row_with_one_duplicate_over_rest(server):
    """The first of duplicate keys counts, also at the top, over a socket."""
    body = b'{"instances":[1],"instances":[2],"signature_name":"","signature_name":"none"}'
    assert server.predict(body) == (200, {"predictions": [3.5]})


def test_gzip(server):
    path = f"/v1/models/{server.name}:predict"
    body = b'{"instances": [1.0]}'

    def ask(data, encoding):
        status, _, content = server.raw("POST", path, data, {"Content-Encoding": encoding})
        return status, json.loads(content)

    assert ask(gzip.compress(body), "gzip") == (200, {"predictions": [3.5]})
    assert ask(body, "identity") == (200, {"predictions": [3.5]})
    assert ask(body, "br")[0] == 415
    assert ask(b"no gzip", "gzip")[0] == 400
    assert ask(gzip.compress(body)[:-10], "gzip")[0] == 400
    # A bomb is inflated to the limit only.
    bomb = gzip.compress(b" " * 2**26)
    assert len(bomb) < 2**17
    status, answer = ask(bomb, "gzip")
    assert status == 413 and "more than 1048576 bytes (--max_request_bytes)" in answer["error"]
