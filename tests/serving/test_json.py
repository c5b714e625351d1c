"""Conversion between JSON and tensors, against NumPy."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.errors import ServingError
from serving.json_requests import decode_inputs, parse_object
from serving.json_responses import encode_outputs
from serving.tensors import InputSpec, Layout

TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32")


def array_of(kind):
    shape = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
    if kind == "object":
        text = st.text(st.characters(codec="utf-8")).map(str.encode)
        return shape.flatmap(lambda sizes: hnp.arrays(object, sizes, elements=text))
    return shape.flatmap(lambda sizes: hnp.arrays(kind, sizes))


arrays = st.sampled_from([*TYPES, "uint64", "bool", "object"]).flatmap(array_of)


def decoded(body, *specs):
    document = parse_object(body)
    return decode_inputs(document, {name: InputSpec(np.dtype(kind), kind) for name, kind in specs})


def as_json(array):
    """Values for Python's json, which is an independent writer."""
    if array.dtype == object:
        return np.vectorize(bytes.decode, otypes=[object])(array).tolist()
    return array.tolist()


@settings(deadline=None)
@given(arrays)
def test_arrays_round_trip_through_requests(array):
    for key in ("instances", "inputs"):
        body = json.dumps({key: as_json(array)}).encode()
        inputs, _ = decoded(body, ("x", array.dtype.name))
        assert inputs["x"].dtype == array.dtype
        np.testing.assert_array_equal(inputs["x"], array)


@settings(deadline=None)
@given(arrays)
def test_pythons_json_reads_responses(array):
    (values,) = json.loads(encode_outputs({"y": array}, Layout.COLUMNAR)).values()
    expected = as_json(array)
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.array(values, array.dtype), array)
    else:
        assert values == expected
    rows = json.loads(encode_outputs({"y": array, "z": array}, Layout.ROW))["predictions"]
    assert len(rows) == len(array) and all(set(row) == {"y", "z"} for row in rows)
    assert json.dumps([row["y"] for row in rows]) == json.dumps(values)


@settings(deadline=None)
@given(
    hnp.arrays("float32", 3, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
)
def test_float32_is_written_in_its_own_digits(array):
    (values,) = json.loads(encode_outputs({"y": array}, Layout.COLUMNAR)).values()
    assert values == [float(str(value)) for value in array]


@settings(deadline=None)
@given(st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_ragged_lists_are_refused_as_by_numpy(nested):
    try:
        expected = np.array(nested, np.int64)
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(ServingError):
            decoded(json.dumps({"inputs": nested}).encode(), ("x", "int64"))
    else:
        inputs, _ = decoded(json.dumps({"inputs": nested}).encode(), ("x", "int64"))
        assert inputs["x"].shape == expected.shape and (inputs["x"] == expected).all()


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70), st.sampled_from(["int8", "int32", "int64", "uint8", "uint64"]))
def test_integers_have_bounds(value, kind):
    bounds = np.iinfo(kind)
    body = json.dumps({"inputs": [value]}).encode()
    if bounds.min <= value <= bounds.max:
        assert decoded(body, ("x", kind))[0]["x"].tolist() == [value]
    else:
        with pytest.raises(ServingError):
            decoded(body, ("x", kind))


@settings(deadline=None)
@given(st.integers(-(2**1000), 2**1000), st.sampled_from(["float32", "float64"]))
def test_any_integer_is_rounded_to_a_float(value, kind):
    body = json.dumps({"inputs": [value]}).encode()
    with np.errstate(over="ignore"):
        expected = np.float64(value).astype(kind)
    assert decoded(body, ("x", kind))[0]["x"].tolist() == [expected]


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_a_client_error(body):
    try:
        assert isinstance(parse_object(body), dict)
    except ServingError as error:
        assert error.http_status == 400


def test_a_byte_order_mark_is_skipped():
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_nan_and_infinity():
    array = np.array([math.nan, math.inf, -math.inf, 0.1], np.float32)
    body = encode_outputs({"y": array, "z": np.array([1, 2, 3, 4])}, Layout.COLUMNAR)
    assert body == b'{"outputs":{"y":[NaN,Infinity,-Infinity,0.1],"z":[1,2,3,4]}}'
    inputs, layout = decoded(body.replace(b"outputs", b"inputs"), ("y", "float32"), ("z", "int64"))
    np.testing.assert_array_equal(inputs["y"], array)
    assert layout is Layout.COLUMNAR


def test_bytes_that_are_not_utf_8_are_written_unchanged():
    array = np.array([b"\xff"], object)
    assert encode_outputs({"y": array}, Layout.ROW) == b'{"predictions":["\xff"]}'
    assert encode_outputs({"y_bytes": array}, Layout.ROW) == b'{"predictions":[{"b64":"/w=="}]}'


def test_rows_need_one_batch_dimension():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(ServingError, match="inconsistent batch size: 2 expecting: 3"):
        encode_outputs(outputs, Layout.ROW)
    assert json.loads(encode_outputs(outputs, Layout.COLUMNAR))["outputs"]["b"] == [0.0] * 3


def test_deeply_nested_lists_are_an_error():
    for depth, message in ((40, "nested deeper"), (50_000, "nested too deeply")):
        with pytest.raises(ServingError, match=message):
            decoded(b'{"inputs":' + b"[" * depth + b"1" + b"]" * depth + b"}", ("x", "float32"))
