"""The gRPC contract, over a socket to a server process."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TIMEOUT = 60


@pytest.fixture
def stub(half_plus_two):
    with grpc.insecure_channel(f"127.0.0.1:{half_plus_two.grpc}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        yield channel


@pytest.fixture
def one(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def spec(message, version=None, label=None, name="half_plus_two"):
    message.model_spec.name = name
    if version is not None:
        message.model_spec.version.value = version
    if label is not None:
        message.model_spec.version_label = label
    return message


def predict(signature="", inputs=None, **where):
    request = spec(predict_pb2.PredictRequest(), **where)
    request.model_spec.signature_name = signature
    for name, value in (inputs or {"x": tf.constant([1.0, 2.0])}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays(response):
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def refused(call, request, code, details):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=TIMEOUT)
    assert caught.value.code() is code
    assert details in caught.value.details()


@pytest.mark.parametrize(
    ("where", "version", "answer"),
    [
        ({}, 2, [3.5, 4.0]),
        ({"version": 1}, 1, [2.5, 3.0]),
        ({"label": "stable"}, 1, [2.5, 3.0]),
    ],
)
def test_half_plus_two(stub, where, version, answer):
    response = stub.Predict(predict(**where), timeout=TIMEOUT)
    assert list(response.outputs["y"].float_val) == answer
    assert response.model_spec.name == "half_plus_two"
    assert response.model_spec.version.value == version
    assert response.model_spec.signature_name == "serving_default"


def test_a_last_value_repeats(one):
    request = predict()
    values = tf.make_tensor_proto(np.zeros([2, 2], np.float32))
    values.ClearField("tensor_content")
    values.float_val.extend([1.0, 3.0])
    request.inputs["x"].CopyFrom(values)
    answer = arrays(one.Predict(request, timeout=TIMEOUT))["y"]
    np.testing.assert_array_equal(answer, [[3.5, 4.5], [4.5, 4.5]])


def test_every_type(stub):
    inputs = {
        "f": np.float32([0.1]),
        "d": np.float64([0.1]),
        "i": np.int32([-1]),
        "j": np.int64([-(2**62)]),
        "u": np.uint8([255]),
        "b": np.array([True]),
    }
    answer = arrays(stub.Predict(predict("numbers", inputs), timeout=TIMEOUT))
    for name, value in inputs.items():
        np.testing.assert_array_equal(answer[name], value)
        assert answer[name].dtype == value.dtype


def test_strings_and_the_output_filter(stub):
    request = predict("text", {"word": [b"a\xff", b"b"], "times": np.int32([1, 2])})
    request.output_filter.append("text")
    answer = arrays(stub.Predict(request, timeout=TIMEOUT))
    assert {name: array.tolist() for name, array in answer.items()} == {
        "text": [b"a\xffx1", b"bx2"]
    }


def test_large_tensors(one):
    values = np.arange(2**14, dtype=np.float32)
    answer = arrays(one.Predict(predict("flat", {"x": values}), timeout=TIMEOUT))["y"]
    np.testing.assert_array_equal(answer, values)


def test_scalars_do_not_need_a_batch(stub):
    answer = arrays(stub.Predict(predict(inputs={"x": 1.0}), timeout=TIMEOUT))
    assert answer["y"].shape == () and answer["y"] == 3.5


def odd(**changes):
    """A request whose tensor contradicts itself."""
    proto = tf.make_tensor_proto(np.float32([1, 2]))
    for name, value in changes.items():
        if name == "shape":
            proto.tensor_shape.CopyFrom(tf.TensorShape(None).as_proto())
            proto.tensor_shape.unknown_rank = value is None
            for size in value or ():
                proto.tensor_shape.dim.add(size=size)
        else:
            setattr(proto, name, value)
    request = predict()
    request.inputs["x"].CopyFrom(proto)
    return request


def filtered(*names):
    request = predict()
    request.output_filter.extend(names)
    return request


INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (predict(name="x"), NOT_FOUND, "Servable not found for request: Latest(x)"),
        (predict(name="x", version=99), NOT_FOUND, "Specific(x, 99)"),
        (predict(label="foo"), INVALID, "Unrecognized servable version label: foo"),
        (
            predict("foo"),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "foo" not found.',
        ),
        (predict(inputs={"z": 1.0}), INVALID, "input size does not match signature"),
        (predict(inputs={"x": "a"}), INVALID, "DT_STRING, expected DT_FLOAT"),
        (predict("root", {"x": [-1.0]}), INVALID, "assertion failed"),
        (filtered("z"), INVALID, "output tensor alias not found in signature: z"),
        (filtered("y", "y"), INVALID, "duplicate output tensor alias: y"),
        (odd(shape=[3]), INVALID, "bytes of content"),
        (odd(shape=[-1]), INVALID, "shape"),
        (odd(shape=None), INVALID, "shape"),
        (odd(shape=[2**40, 2**40]), INVALID, "elements"),
        (odd(shape=[0, 2**62], tensor_content=b""), INVALID, "elements"),
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (odd(shape=[1] * 64), INVALID, "shape"),
        (odd(shape=[2**24], tensor_content=b""), INVALID, "to be left out"),
        (odd(dtype=1000), INVALID, "type 1000"),
    ],
)
def test_errors_of_predict(one, request_, code, details):
    refused(one.Predict, request_, code, details)


def test_metadata(one):
    request = spec(get_model_metadata_pb2.GetModelMetadataRequest(), version=1)
    refused(one.GetModelMetadata, request, INVALID, "at least one metadata_field")
    request.metadata_field.append("signature_def")
    response = one.GetModelMetadata(request, timeout=TIMEOUT)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["serving_default"].inputs
    assert inputs["x"].dtype == tf.float32.as_datatype_enum
    assert response.model_spec.version.value == 1
    request.metadata_field.append("other")
    refused(one.GetModelMetadata, request, INVALID, "Metadata field other is not supported")
    nobody = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    refused(one.GetModelMetadata, nobody, INVALID, "Missing ModelSpec")


def test_status(models):
    state = get_model_status_pb2.ModelVersionStatus.State
    response = models.GetModelStatus(spec(get_model_status_pb2.GetModelStatusRequest()))
    assert [(entry.version, entry.state) for entry in response.model_version_status] == [
        (1, state.AVAILABLE),
        (2, state.AVAILABLE),
    ]
    request = spec(get_model_status_pb2.GetModelStatusRequest(), name="x")
    refused(models.GetModelStatus, request, NOT_FOUND, "Could not find any versions of model x")
    request = get_model_status_pb2.GetModelStatusRequest()
    refused(models.GetModelStatus, request, INVALID, "Missing ModelSpec")


def test_multi_inference_is_not_served(one):
    unimplemented = grpc.StatusCode.UNIMPLEMENTED
    refused(one.MultiInference, inference_pb2.MultiInferenceRequest(), unimplemented, "")


def test_reloading_a_model_that_is_not_there_is_refused(models):
    request = model_management_pb2.ReloadConfigRequest()
    refused(models.HandleReloadConfigRequest, request, INVALID, "ModelConfigList")
    request.config.model_config_list.config.add(name="other", base_path="/nowhere")
    refused(
        models.HandleReloadConfigRequest,
        request,
        grpc.StatusCode.FAILED_PRECONDITION,
        "the model other cannot be served",
    )


def test_a_message_beyond_the_limit(one):
    request = predict(inputs={"x": np.zeros(2**20, np.float32)})
    with pytest.raises(grpc.RpcError) as caught:
        one.Predict(request, timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_deadline(one):
    with pytest.raises(grpc.RpcError) as caught:
        one.Predict(predict("slow", {"rounds": np.int32([300])}), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
