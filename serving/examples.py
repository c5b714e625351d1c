"""Classify and Regress: requests that consist of `tf.Example`s, as in TensorFlow Serving.

A signature for them has the method name of the API and one string input, `inputs`, of serialised
examples. Its outputs are `classes` or `scores` or both, [batch, classes], for Classify, and
`outputs`, [batch] or [batch, 1], for Regress.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2

from serving.errors import Code, ServingError, invalid
from serving.json_values import decode_tensor, echo, is_base64, json_type
from serving.servable import DEFAULT_SIGNATURE, Servable, Signature
from serving.tensors import InputSpec, Tensors

INPUT = "inputs"

_STRING = InputSpec(np.dtype(object), "string")
_FLOAT = InputSpec(np.dtype(np.float32), "float")
_INT64 = np.iinfo(np.int64)
_KINDS = {bool: "int64", int: "int64", float: "float", str: "bytes"}


@dataclasses.dataclass(frozen=True)
class Method:
    """An API method that runs a signature on examples.

    Attributes:
      task: Its name in the error messages of TensorFlow Serving.
      name: The method name of its signatures.
      outputs: Outputs that it reads; a signature has at least one of them.
    """

    task: str
    name: str
    outputs: tuple[str, ...]


CLASSIFY = Method("classification", "tensorflow/serving/classify", ("classes", "scores"))
REGRESS = Method("regression", "tensorflow/serving/regress", ("outputs",))


def signature_for(servable: Servable, chosen: str, method: Method) -> Signature:
    """Return the signature of a version for a method.

    Args:
      servable: The version.
      chosen: Name of the signature, empty for the default one.
      method: The method.

    Raises:
      ServingError: INVALID_ARGUMENT; there is no signature of that name, or it
        is not for this method. FAILED_PRECONDITION; it lacks an input or output.
    """
    chosen = chosen or DEFAULT_SIGNATURE
    signature = servable.signature(chosen)
    if signature is None:
        raise invalid(f"No signature was found with the name: {chosen}")
    found = servable.signature_defs[chosen].method_name
    if found != method.name:
        raise invalid(
            f"Expected {method.task} signature method_name to be {method.name}. Was: {found}"
        )
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if INPUT not in signature.inputs or signature.inputs[INPUT].type != "string":
        raise _unfit(f"No {method.task} inputs found in SignatureDef: {chosen}")
    if not set(method.outputs) & set(signature.outputs):
        raise _unfit(f"No {method.task} outputs found in SignatureDef: {chosen}")
    return signature


def parse_examples(document: Mapping[str, Any]) -> Tensors:
    """Convert the body of a REST request to the signature's input.

    Args:
      document: The parsed body: `examples`, a list of objects with a value or a
        list for each feature, and optionally `context`, features that all
        examples share.

    Returns:
      Serialised examples [batch] by the input's name.

    Raises:
      ServingError: INVALID_ARGUMENT; the body has another form.
    """
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {echo(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {echo(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {echo(document)} 'examples' value is an empty array")
    return _inputs([context + _example(example) for example in examples])


def read_examples(message: Any) -> Tensors:
    """Convert the `Input` of a gRPC request to the signature's input.

    Raises:
      ServingError: INVALID_ARGUMENT; there is no example.
    """
    kind = message.WhichOneof("kind")
    examples = getattr(message, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    has_context = kind == "example_list_with_context"
    context = message.example_list_with_context.context.SerializeToString() if has_context else b""
    return _inputs([context + example.SerializeToString() for example in examples])


def classifications(outputs: Tensors, batch: int) -> list[list[tuple[bytes, np.float32]]]:
    """Return the classes of each example, as pairs of label and score.

    Labels that the signature lacks are "", and scores 0.

    Raises:
      ServingError: INVALID_ARGUMENT; the outputs have another form.
    """
    found = {name: outputs[name] for name in CLASSIFY.outputs if name in outputs}
    for name, array in found.items():
        if array.ndim != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}"
            )
        if array.dtype != (object if name == "classes" else np.float32):
            expected = "DT_STRING" if name == "classes" else "DT_FLOAT"
            raise invalid(f"Expected {name} Tensor of {expected}. Got: {array.dtype.name}")
        if len(array) != batch:
            raise invalid(f"Expected {name} output batch size of {batch}. Got: {len(array)}")
    shape = next(iter(found.values())).shape
    labels = found.get("classes", np.full(shape, b"", object))
    scores = found.get("scores", np.zeros(shape, np.float32))
    if labels.shape != scores.shape:
        raise invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return [list(zip(*row, strict=True)) for row in zip(labels, scores, strict=True)]


def regressions(outputs: Tensors, batch: int) -> np.ndarray:
    """Return the value of each example, float32 [batch].

    Raises:
      ServingError: INVALID_ARGUMENT; the output has another form.
    """
    values = outputs["outputs"]
    if values.ndim != 1 and not (values.ndim == 2 and values.shape[1] == 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {list(values.shape)}"
        )
    if len(values) != batch:
        raise invalid(
            f"Input batch size did not match output batch size: {batch} vs. {len(values)}"
        )
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT. Got: {values.dtype.name}")
    return values.reshape(-1)


def results_json(method: Method, outputs: Tensors, batch: int) -> bytes:
    """Encode the body of a REST response; numbers in the fewest digits, as for Predict.

    Raises:
      ServingError: INVALID_ARGUMENT; the outputs do not fit the method.
    """
    results: list[Any]
    if method is REGRESS:
        results = [float(str(value)) for value in regressions(outputs, batch)]
    else:
        results = [
            [[label.decode("utf-8", "surrogateescape"), float(str(score))] for label, score in row]
            for row in classifications(outputs, batch)
        ]
    text = json.dumps({"results": results}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def _unfit(message: str) -> ServingError:
    return ServingError(Code.FAILED_PRECONDITION, message)


def _inputs(serialised: list[bytes]) -> Tensors:
    # Concatenated messages merge: the features of an example override those of the context.
    array = np.empty(len(serialised), object)
    array[:] = serialised
    return {INPUT: array}


def _example(content: Any) -> bytes:
    if not isinstance(content, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(content)}")
    example = example_pb2.Example()
    for name, value in content.items():
        values = value if type(value) is list else [value]
        example.features.feature[name].CopyFrom(_feature(name, values))
    serialised: bytes = example.SerializeToString()
    return serialised


def _feature(name: str, values: list[Any]) -> feature_pb2.Feature:
    feature = feature_pb2.Feature()
    kinds = [_kind(name, value) for value in values]
    if len(set(kinds)) > 1:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {kinds[0]}")
    if "bytes" in kinds:
        feature.bytes_list.value.extend(decode_tensor(values, _STRING).tolist())
    elif "float" in kinds:
        feature.float_list.value.extend(decode_tensor(values, _FLOAT).tolist())
    elif kinds:
        if not _INT64.min <= min(values) <= max(values) <= _INT64.max:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        feature.int64_list.value.extend(map(int, values))
    return feature


def _kind(name: str, value: Any) -> str:
    kind = "bytes" if type(value) is dict and is_base64(value) else _KINDS.get(type(value))
    if type(value) is int and not _INT64.min <= value < 2**64:
        return "float"
    if kind is None:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
    return kind
