"""Status and metadata of a model, as TensorFlow Serving's messages and as JSON."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.servable import Servable
from serving.versions import Status


def statuses_proto(statuses: Mapping[int, Status]) -> get_model_status_pb2.GetModelStatusResponse:
    """Return the states of versions."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, status in statuses.items():
        entry = response.model_version_status.add(version=version, state=status.state.value)
        entry.status.SetInParent()
        if status.error:
            entry.status.error_code = status.error.code
            entry.status.error_message = status.error.message
    return response


def metadata_proto(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Return the signatures of a version."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(_signatures(servable))
    return response


def statuses_dict(statuses: Mapping[int, Status]) -> dict[str, Any]:
    """Return the states of versions, for JSON."""
    return _as_dict(statuses_proto(statuses))


def metadata_dict(servable: Servable) -> dict[str, Any]:
    """Return the signatures of a version, for JSON without `Any`'s type, as TF Serving does."""
    return {
        "model_spec": _as_dict(metadata_proto(servable).model_spec),
        "metadata": {"signature_def": _as_dict(_signatures(servable))},
    }


def _signatures(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
    return signatures


def _as_dict(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
