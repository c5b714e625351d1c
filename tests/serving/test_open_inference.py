"""The Open Inference Protocol (V2), by Triton's own clients and by hand."""

import json

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from google.protobuf import json_format

MODEL = "half_plus_two"
ITEMS = {"sessions": np.array([b"i1 i4", b"i2"], object)}
NUMBERS = {
    "f": np.float32([0.1, np.inf]),
    "d": np.float64([0.1, 2]),
    "i": np.int32([-1, 2]),
    "j": np.int64([-(2**62), 0]),
    "u": np.uint8([255, 0]),
    "b": np.array([True, False]),
}
DATATYPES = {"f": "FP32", "d": "FP64", "i": "INT32", "j": "INT64", "u": "UINT8", "b": "BOOL"}


@pytest.fixture(params=["http", "grpc"])
def triton(request, server):
    """Triton's module of a transport, and its client of the server."""
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[request.param]
    port = server.rest if request.param == "http" else server.grpc
    client = module.InferenceServerClient(f"127.0.0.1:{port}")
    yield module, client
    client.close()


def as_dict(answer):
    """An answer of either client, of which that of gRPC is a message."""
    if isinstance(answer, dict):
        return answer
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def infer(triton, inputs, outputs=None, binary=True, **options):
    module, client = triton
    tensors = []
    for name, array in inputs.items():
        datatype = "BYTES" if array.dtype == object else DATATYPES.get(name, "FP32")
        tensor = module.InferInput(name, array.shape, datatype)
        if module is tritonclient.http:
            tensor.set_data_from_numpy(array, binary_data=binary)
            requested = [module.InferRequestedOutput(each, binary) for each in outputs or ()]
        else:
            tensor.set_data_from_numpy(array)
            requested = [module.InferRequestedOutput(each) for each in outputs or ()]
        tensors.append(tensor)
    return client.infer(MODEL, tensors, outputs=requested or None, **options)


def test_health_and_metadata(triton):
    _, client = triton
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert as_dict(client.get_server_metadata())["name"] == "hln-tf"
    metadata = as_dict(client.get_model_metadata(MODEL))
    assert metadata["name"] == MODEL and metadata["platform"] == "tensorflow_savedmodel"
    assert metadata["versions"] == ["1", "2"]
    (tensor,) = metadata["inputs"]
    assert (tensor["name"], tensor["datatype"]) == ("x", "FP32")


@pytest.mark.parametrize(("version", "bias"), [("", 3.0), ("1", 2.0), ("2", 3.0)])
def test_versions(triton, version, bias):
    x = np.float32([[1, 2], [3, 4]])
    result = infer(triton, {"x": x}, model_version=version, request_id="me")
    np.testing.assert_array_equal(result.as_numpy("y"), x / 2 + np.float32(bias))
    response = as_dict(result.get_response())
    assert response["id"] == "me" and response["model_version"] == (version or "2")


@pytest.mark.parametrize("binary", [True, False])
def test_every_type(triton, binary):
    numbers = {**NUMBERS, "f": np.float32([0.1, 2])} if not binary else NUMBERS
    parameters = {"signature_name": "numbers"}
    result = infer(triton, numbers, list(numbers), binary, parameters=parameters)
    for name, array in numbers.items():
        found = result.as_numpy(name)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("binary", [True, False])
def test_strings(triton, binary):
    words = np.array(["é".encode(), b"", b"a b"], object)
    inputs = {"word": words, "times": np.int32([1, 2, 3])}
    module, client = triton
    tensors = [
        module.InferInput("word", [3], "BYTES"),
        module.InferInput("times", [3], "INT32"),
    ]
    for tensor, array in zip(tensors, inputs.values(), strict=True):
        options = {"binary_data": binary} if module is tritonclient.http else {}
        tensor.set_data_from_numpy(array, **options)
    result = client.infer(MODEL, tensors, parameters={"signature_name": "text"})
    assert result.as_numpy("text").tolist() == [
        word + b"x%d" % n for n, word in enumerate(words, 1)
    ]


def test_strings_that_are_no_text(triton):
    module, client = triton
    tensors = [module.InferInput("word", [1], "BYTES"), module.InferInput("times", [1], "INT32")]
    tensors[0].set_data_from_numpy(np.array([b"\xff"], object))
    tensors[1].set_data_from_numpy(np.int32([1]))
    result = client.infer(MODEL, tensors, parameters={"signature_name": "text"})
    assert result.as_numpy("text").tolist() == [b"\xffx1"]


def test_an_exported_model(servers):
    """HLN, whose inputs and outputs are strings and numbers; equal over V1 and V2."""
    server = servers["hln", "batched"]
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.rest}")
    tensor = tritonclient.http.InferInput("sessions", [2], "BYTES")
    tensor.set_data_from_numpy(ITEMS["sessions"])
    result = client.infer("hln", [tensor], parameters={"signature_name": "sessions"})
    body = {"signature_name": "sessions", "inputs": ["i1 i4", "i2"]}
    expected = server.predict(body)[1]["outputs"]
    assert (
        np.char.decode(result.as_numpy("item_ids").astype(bytes)).tolist() == (expected["item_ids"])
    )
    np.testing.assert_allclose(result.as_numpy("scores"), expected["scores"], rtol=1e-5)
    client.close()


def x(data=(1.0,), **changes):
    tensor = {"name": "x", "shape": [len(data)], "datatype": "FP32", "data": list(data)}
    return {"inputs": [{**tensor, **changes}]}


def test_json_by_hand(server):
    path = f"/v2/models/{MODEL}/versions/1/infer"
    status, answer = server.post(path, {**x([[1.0], [2.0]], shape=[2, 1]), "id": "7"})
    assert status == 200
    assert answer == {
        "id": "7",
        "model_name": MODEL,
        "model_version": "1",
        "outputs": [{"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [2.5, 3.0]}],
    }
    status, _, body = server.raw(
        "POST", path, b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}'
    )
    assert status == 200 and b'"data":[NaN]' in body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "'inputs' is no list of objects"),
        ({"inputs": [1]}, "'inputs' is no list of objects"),
        ({"inputs": []}, "the inputs are none, expected x"),
        ({"inputs": [{}]}, "'name' is no string"),
        (x(name="z"), "the input 'z' is unknown, expected x"),
        (x(datatype="FP64"), "the input 'x' has the datatype FP64, expected FP32"),
        (x(shape=[2]), "the input 'x' has 1 values, expected 2 for the shape [2]"),
        (x(shape=[-1]), "the input 'x' has the shape [-1], expected known sizes"),
        (x(shape=[True]), "the input 'x' has the shape [True], expected known sizes"),
        (x(shape=7), "the input 'x' has no list as its shape"),
        (x(["a"]), 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "has no data"),
        (x(parameters={"binary_data_size": 4}), "has the binary_data_size 4, but 0 bytes follow"),
        ({**x(), "outputs": [{"name": "z"}]}, "the output 'z' is unknown, expected one of y"),
        ({**x(), "parameters": {"signature_name": "none"}}, "has no signature 'none'"),
        ({**x(), "parameters": 1}, "'parameters' is no object"),
    ],
)
def test_errors_of_the_body(server, body, message):
    status, answer = server.post(f"/v2/models/{MODEL}/infer", body)
    assert status == 400 and list(answer) == ["error"]
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("verb", "path", "status", "message"),
    [
        ("GET", "/v2/models/none", 404, "Servable not found for request: Latest(none)"),
        ("GET", f"/v2/models/{MODEL}/versions/9/ready", 404, "Specific(half_plus_two, 9)"),
        ("GET", f"/v2/models/{MODEL}/infer", 400, "Malformed request"),
        ("POST", "/v2", 400, "Malformed request"),
        ("GET", "/v2/elsewhere", 400, "Malformed request"),
    ],
)
def test_errors_of_the_route(server, verb, path, status, message):
    found, answer = server.ask(verb, path)
    assert found == status and message in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1000", "9" * 30])
def test_a_wrong_length_of_the_json(server, length):
    headers = {"Inference-Header-Content-Length": length}
    status, _, body = server.raw(
        "POST", f"/v2/models/{MODEL}/infer", json.dumps(x()).encode(), headers
    )
    assert status == 400 and "expected the length of the JSON" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("size", "data", "message"),
    [
        (3, b"\0" * 3, "has 3 bytes, which end within a number"),
        (8, b"\0" * 8, "has 2 values, expected 1"),
        (4, b"\0" * 8, "4 bytes of the binary data belong to no input"),
        (8, b"\0" * 4, "has the binary_data_size 8, but 4 bytes follow"),
    ],
)
def test_binary_data_that_does_not_fit(server, size, data, message):
    body = json.dumps(x(parameters={"binary_data_size": size})).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    status, _, answer = server.raw("POST", f"/v2/models/{MODEL}/infer", body + data, headers)
    assert status == 400 and message in json.loads(answer)["error"]


def test_errors_over_grpc(server):
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    tensor = tritonclient.grpc.InferInput("z", [1], "FP32")
    tensor.set_data_from_numpy(np.float32([1]))
    for model, version, message in (
        (MODEL, "", "the input 'z' is unknown"),
        ("none", "", "Latest(none)"),
        (MODEL, "one", "the model version is 'one', expected a number"),
    ):
        with pytest.raises(tritonclient.utils.InferenceServerException, match="") as caught:
            client.infer(model, [tensor], model_version=version)
        assert message in str(caught.value)
    client.close()


def test_values_in_fields_over_grpc(server):
    """The typed fields of the contents, which Triton's client does not send."""
    pb = tritonclient.grpc.service_pb2
    request = pb.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1, 2])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = tritonclient.grpc.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        response = stub.ModelInfer(request, timeout=60)
        assert list(response.outputs[0].contents.fp32_contents) == [3.5, 4.0]
        request.inputs[0].shape[:] = [3]
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_messages_are_tritons():
    """Every field has the number, type and name that Triton's own messages have."""
    import subprocess
    import sys

    # In another process, because both files declare the same names.
    code = """
from serving.open_inference_pb2 import DESCRIPTOR
for message in DESCRIPTOR.message_types_by_name.values():
    for each in (message, *message.nested_types):
        for field in each.fields:
            print(each.full_name, field.name, field.number, field.type, field.is_repeated)
"""
    ours = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    pool = tritonclient.grpc.service_pb2.DESCRIPTOR.pool
    for line in ours:
        name, field, *expected = line.split()
        found = pool.FindMessageTypeByName(name).fields_by_name[field]
        assert [str(found.number), str(found.type), str(found.is_repeated)] == expected
    assert len(ours) == 60
