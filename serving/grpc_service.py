"""TensorFlow Serving's PredictionService and ModelService over gRPC."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from hln_tf.common.errors import UsageError
from serving import examples
from serving.descriptions import metadata_proto, statuses_proto
from serving.errors import Code, ServingError, invalid
from serving.predictor import Predictor
from serving.proto_tensors import decode_inputs, encode_outputs
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.settings import ModelSettings
from serving.tensors import Tensors, elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

_LOGGER = logging.getLogger(__name__)
# gRPC sends error messages in HTTP/2 headers, whose size clients limit.
_MAX_ERROR_LENGTH = 2000


def add_services(server: grpc.aio.Server, predictor: Predictor, settings: ModelSettings) -> None:
    """Add both services to a server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(predictor), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(predictor, settings), server
    )


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress and GetModelMetadata; MultiInference is UNIMPLEMENTED.

    Args:
      predictor: Runs the requests.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._versions = predictor.versions

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run a signature."""
        return await _answer(self._predictor, "Predict", request, context, self._predict)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the signatures of a version."""
        return await _answer(self._predictor, "GetModelMetadata", request, context, self._metadata)

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run a signature on examples and return classes."""
        return await _answer(self._predictor, "Classify", request, context, self._classify)

    async def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run a signature on examples and return values."""
        return await _answer(self._predictor, "Regress", request, context, self._regress)

    async def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse the request, which this server does not implement."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "use Predict, Classify or Regress")

    async def _predict(self, request: Any, context: Any) -> Any:
        with self._versions.using(*_model(request)) as servable:
            chosen = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signature(chosen)
            if signature is None:
                raise ServingError(
                    Code.FAILED_PRECONDITION, f'Serving signature key "{chosen}" not found.'
                )
            names = list(request.output_filter)
            _check_filter(names, signature.outputs)
            is_large = request.ByteSize() > LARGE_BYTES
            inputs = await offload_if(
                is_large, lambda: decode_inputs(request.inputs, signature.inputs)
            )
            remaining = context.time_remaining()
            outputs = await self._predictor.run(servable, signature, inputs, remaining)
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, servable, chosen)
        chosen_outputs = {name: outputs[name] for name in names} if names else outputs
        await offload_if(
            elements(chosen_outputs) > LARGE_ELEMENTS,
            lambda: encode_outputs(chosen_outputs, response.outputs),
        )
        return response

    async def _classify(self, request: Any, context: Any) -> Any:
        response = classification_pb2.ClassificationResponse()
        outputs, batch = await self._run_examples(examples.CLASSIFY, request, response, context)
        for row in examples.classifications(outputs, batch):
            classes = response.result.classifications.add().classes
            for name, score in row:
                # Fields of text hold UTF-8 only.
                classes.add(label=name.decode("utf-8", "backslashreplace"), score=score)
        return response

    async def _regress(self, request: Any, context: Any) -> Any:
        response = regression_pb2.RegressionResponse()
        outputs, batch = await self._run_examples(examples.REGRESS, request, response, context)
        for value in examples.regressions(outputs, batch):
            response.result.regressions.add(value=value)
        return response

    async def _run_examples(
        self, method: examples.Method, request: Any, response: Any, context: Any
    ) -> tuple[Tensors, int]:
        """Run a signature on a request's examples; return the outputs and the batch size."""
        inputs = examples.read_examples(request.input)
        chosen = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with self._versions.using(*_model(request)) as servable:
            signature = examples.signature_for(servable, chosen, method)
            remaining = context.time_remaining()
            outputs = await self._predictor.run(servable, signature, inputs, remaining)
        _describe(response.model_spec, servable, chosen)
        return outputs, len(inputs[examples.INPUT])

    async def _metadata(self, request: Any, context: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._versions.using(*_model(request)) as servable:
            return metadata_proto(servable)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, and HandleReloadConfigRequest for the one model that is served.

    Args:
      predictor: Holds the versions of the model.
      settings: The settings that the server was started with.
    """

    def __init__(self, predictor: Predictor, settings: ModelSettings) -> None:
        self._predictor = predictor
        self._settings = settings

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the state of versions."""
        return await _answer(self._predictor, "GetModelStatus", request, context, self._status)

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Apply another version policy and other labels to the served model."""
        try:
            await self._predictor.versions.set_policy(self._policy(request))
        except ServingError as error:
            await _abort(context, error)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    async def _status(self, request: Any, context: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return statuses_proto(self._predictor.versions.statuses(*_model(request)))

    def _policy(self, request: Any) -> ModelSettings:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        configs = request.config.model_config_list.config
        name, base = self._predictor.versions.name, self._predictor.versions.base_path
        if len(configs) != 1 or configs[0].name != name or Path(configs[0].base_path) != base:
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"this server serves one model; expected the name {name!r} and the base path "
                f"{str(base)!r} with another version policy or labels",
            )
        labels = configs[0].version_labels
        try:
            return dataclasses.replace(
                self._settings,
                served_versions=_served_versions(configs[0]),
                version_labels=tuple(f"{label}={labels[label]}" for label in sorted(labels)),
            )
        except UsageError as error:
            raise invalid(str(error)) from None


def _served_versions(config: model_server_config_pb2.ModelConfig) -> str:
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice") or "latest"
    if kind == "latest" and policy.latest.num_versions > 1:
        raise ServingError(Code.UNIMPLEMENTED, "latest is served with num_versions 1 only")
    return ",".join(map(str, policy.specific.versions)) if kind == "specific" else kind


async def _answer(
    predictor: Predictor,
    api: str,
    request: Any,
    context: Any,
    work: Callable[[Any, Any], Awaitable[Any]],
) -> Any:
    started = time.monotonic()
    error = None
    try:
        return await work(request, context)
    except ServingError as raised:
        error = raised
    except asyncio.CancelledError:
        error = ServingError(Code.CANCELLED, "the client cancelled, or its deadline passed")
        raise
    except Exception:
        _LOGGER.exception("a request failed by a defect of the server")
        error = ServingError(Code.INTERNAL, "Internal error, see the server's log")
    finally:
        predictor.record("GRPC", api, request.model_spec.name, started, error)
    return await _abort(context, error)


async def _abort(context: Any, error: ServingError) -> None:
    message = error.message.encode("utf-8", "backslashreplace").decode()
    await context.abort(grpc.StatusCode[error.code.name], message[:_MAX_ERROR_LENGTH])


def _model(request: Any) -> tuple[str, int | None, str | None]:
    spec = request.model_spec
    return (
        spec.name,
        spec.version.value if spec.HasField("version") else None,
        spec.version_label or None,
    )


def _describe(model_spec: Any, servable: Servable, signature: str) -> None:
    model_spec.name = servable.name
    model_spec.signature_name = signature
    model_spec.version.value = servable.version


def _check_filter(names: list[str], outputs: tuple[str, ...]) -> None:
    for name in names:
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(outputs)}}}."
            )
        if names.count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
