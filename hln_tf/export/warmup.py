"""Requests that TensorFlow Serving answers before it takes any from clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from hln_tf.retrieval.session_graph import SessionGraph

FILE = "tf_serving_warmup_requests"


def write(
    path: Path,
    name: str,
    graph: SessionGraph,
    signatures: Mapping[str, Any],
    session: Sequence[str],
) -> None:
    """Writes one request for each signature.

    Args:
      path: The TFRecord file, of `PredictionLog`.
      name: The model's name.
      graph: What answers.
      signatures: By name, see `hln_tf.export.signatures`.
      session: Raw ids of the session to ask for.
    """
    values = {
        "items": [session],
        "sessions": [graph.separator.join(session)],
        "k": [graph.settings.k],
        "exclude_seen": [True],
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in signatures.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for spec in function.input_signature:
                request.inputs[spec.name].CopyFrom(
                    tf.make_tensor_proto(values[spec.name], spec.dtype)
                )
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
