"""Classify and Regress, over sockets to a server process; version 2 adds three."""

import base64

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

MODEL = "/v1/models/half_plus_two"


def ask(server, method, signature, **body):
    document = {"signature_name": signature, **body}
    return server.post(f"{MODEL}:{method}", document)


@pytest.mark.parametrize(
    ("method", "signature", "body", "results"),
    [
        ("regress", "regress_x_to_y", {"examples": [{"x": 1.0}, {"x": [2.0]}]}, [3.5, 4.0]),
        ("regress", "regress_x_to_y", {"examples": [{}]}, [3.0]),
        ("regress", "regress_x_to_y", {"examples": [{"x": 1e39}]}, [float("inf")]),
        (
            "regress",
            "regress_x_to_y",
            {"context": {"x": 4.0}, "examples": [{}, {"x": 1.0}, {"other": [1, True]}]},
            [5.0, 3.5, 5.0],
        ),
        ("classify", "classify_x_to_y", {"examples": [{"x": 0.2}]}, [[["", 3.1]]]),
        (
            "classify",
            "classify_words",
            {"examples": [{"words": ["a", {"b64": base64.b64encode("é".encode()).decode()}]}]},
            [[["a", 0.1], ["é", 0.7]]],
        ),
    ],
)
def test_results(half_plus_two, method, signature, body, results):
    assert ask(half_plus_two, method, signature, **body) == (200, {"results": results})


METHOD_NAME = "Expected {} signature method_name to be tensorflow/serving/{}. Was: {}"


@pytest.mark.parametrize(
    ("method", "signature", "message"),
    [
        (
            "classify",
            "serving_default",
            METHOD_NAME.format("classification", "classify", "tensorflow/serving/predict"),
        ),
        (
            "regress",
            "",
            METHOD_NAME.format("regression", "regress", "tensorflow/serving/predict"),
        ),
        (
            "regress",
            "classify_words",
            METHOD_NAME.format("regression", "regress", "tensorflow/serving/classify"),
        ),
        ("regress", "none", "No signature was found with the name: none"),
        (
            "regress",
            "regress_badly",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            "but got [1, 2]",
        ),
    ],
)
def test_unsuitable_signatures_are_refused(half_plus_two, method, signature, message):
    answer = ask(half_plus_two, method, signature, examples=[{"x": 1.0}])
    assert answer == (400, {"error": message})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1.0]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1.0, "a"]}]}, "in feature: x expecting type: float"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64 element. Only int64 is supported."),
        ({"examples": [{"x": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"examples": [{"\ud800": 1.0}]}, "surrogate pair"),
        ({"examples": [{"x": 1}]}, "Data types don't match"),
        ({"examples": [{"x": [1.0, 2.0]}]}, "Key: x"),
    ],
)
def test_errors_of_the_body(server, body, message):
    status, answer = ask(server, "regress", "regress_x_to_y", **body)
    assert status == 400 and list(answer) == ["error"]
    assert message in answer["error"]


def test_grpc(half_plus_two):
    with grpc.insecure_channel(f"127.0.0.1:{half_plus_two.grpc}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        regress = request(regression_pb2.RegressionRequest, "regress_x_to_y", x=[1.0])
        response = stub.Regress(regress, timeout=60)
        assert [regression.value for regression in response.result.regressions] == [3.5, 3.5]
        assert response.model_spec.version.value == 2
        classify = request(
            classification_pb2.ClassificationRequest, "classify_words", words=[b"a", b"\xff"]
        )
        with_labels = stub.Classify(classify, timeout=60).result.classifications
        assert [[each.label for each in row.classes] for row in with_labels] == [["a", r"\xff"]] * 2
        assert [each.score for each in with_labels[1].classes] == pytest.approx([0.1, 0.7])
        classify.model_spec.signature_name = "regress_x_to_y"
        refused(stub.Classify, classify, "Expected classification signature method_name")
        regress.input.Clear()
        refused(stub.Regress, regress, "Input is empty.")


def request(kind, signature, **features):
    """A request of two empty examples with these features as their context."""
    message = kind()
    message.model_spec.name, message.model_spec.signature_name = "half_plus_two", signature
    examples = message.input.example_list_with_context
    for name, values in features.items():
        feature = examples.context.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    examples.examples.extend([tf.train.Example()] * 2)
    return message


def refused(call, message, details):
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details in caught.value.details()
