"""Requests that TensorFlow Serving answers before it accepts any from clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.retrieval.session_graph import SessionGraph

FILE = "tf_serving_warmup_requests"

# The fields of TensorFlow Serving's messages that a record consists of. They are serialized here,
# so that an export does not need the package tensorflow-serving-api.
_PREDICTION_LOG_PREDICT_LOG = 6
_PREDICT_LOG_REQUEST = 1
_PREDICT_REQUEST_MODEL_SPEC, _PREDICT_REQUEST_INPUTS = 1, 2
_MODEL_SPEC_NAME, _MODEL_SPEC_SIGNATURE_NAME = 1, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def write(
    path: Path,
    name: str,
    graph: SessionGraph,
    signatures: Mapping[str, Any],
    session: Sequence[str],
) -> None:
    """Write one request for each signature.

    Args:
      path: The TFRecord file, of `PredictionLog`.
      name: The model's name.
      graph: The exported graph.
      signatures: Its signatures by name, see `hln_tf.export.signatures`.
      session: Item ids of the session in the requests.
    """
    values = {
        "items": [session],
        "sessions": [graph.separator.join(session)],
        "k": [graph.settings.k],
        "exclude_seen": [True],
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in signatures.items():
            inputs = {
                spec.name: tf.make_tensor_proto(values[spec.name], spec.dtype)
                for spec in function.input_signature
            }
            request = _predict_request(name, signature, inputs)
            log = _field(_PREDICT_LOG_REQUEST, request)
            writer.write(_field(_PREDICTION_LOG_PREDICT_LOG, log))


def _predict_request(name: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Serialize a `PredictRequest`."""
    model_spec = _field(_MODEL_SPEC_NAME, name.encode())
    model_spec += _field(_MODEL_SPEC_SIGNATURE_NAME, signature.encode())
    request = _field(_PREDICT_REQUEST_MODEL_SPEC, model_spec)
    for key, tensor in sorted(inputs.items()):
        entry = _field(_MAP_KEY, key.encode()) + _field(_MAP_VALUE, tensor.SerializeToString())
        request += _field(_PREDICT_REQUEST_INPUTS, entry)
    return request


def _field(number: int, value: bytes) -> bytes:
    """Serialize a field that is a string or a message: its key, the value's length, the value."""
    key, length = bytes([number << 3 | 2]), len(value)
    varint = bytearray()
    while length >= 128:
        varint.append(length & 127 | 128)
        length >>= 7
    varint.append(length)
    return key + bytes(varint) + value
