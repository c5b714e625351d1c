"""gRPC methods of any service: parsing, errors, counts and log, in one place."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError

from serving.errors import Code, ServingError, invalid
from serving.gateway import Call
from serving.predictor import Predictor
from serving.security import Guard

# Takes a request and a context, returns a response.
Method = Callable[[Any, Any], Awaitable[Any]]

# These need no token: probes have none.
_OPEN_PREFIXES = ("/grpc.health.v1.",)
_OPEN_METHODS = frozenset(
    {
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
# gRPC sends error messages in HTTP/2 headers, whose size clients limit.
_MAX_ERROR_LENGTH = 2000

_LOGGER = logging.getLogger(__name__)


def add_service(
    server: grpc.aio.Server,
    service: ServiceDescriptor,
    methods: Mapping[str, Method],
    predictor: Predictor,
) -> None:
    """Add unary methods of a service to a server; its other methods are UNIMPLEMENTED.

    Args:
      server: The server.
      service: Descriptor of the service, with the types of requests.
      methods: Functions by the methods' names.
      predictor: Counts and logs the requests.
    """
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _handler(
                name,
                message_factory.GetMessageClass(service.methods_by_name[name].input_type),
                method,
                predictor,
            )
        )
        for name, method in methods.items()
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service.full_name, handlers),)
    )


def _handler(api: str, message: Any, method: Method, predictor: Predictor) -> Any:
    async def answer(data: bytes, context: Any) -> bytes:
        call = Call(api=api, peer=context.peer(), started=time.monotonic())
        try:
            request = _parse(message, data)
            # The two protocols name a model in different fields.
            spec = getattr(request, "model_spec", None)
            call.model = spec.name if spec is not None else getattr(request, "model_name", "")
            response: bytes = (await method(request, context)).SerializeToString()
            return response
        except ServingError as error:
            call.error = error
        except asyncio.CancelledError:
            call.error = ServingError(
                Code.CANCELLED, "the client cancelled, or its deadline passed"
            )
            raise
        except Exception:
            _LOGGER.exception("a request failed by a defect of the server")
            call.error = ServingError(Code.INTERNAL, "Internal error, see the server's log")
        finally:
            predictor.record("GRPC", call)
        return await _abort(context, call.error)

    return answer


def _parse(message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except DecodeError:
        raise invalid(f"The request is no {message.DESCRIPTOR.full_name}") from None


async def _abort(context: Any, error: ServingError) -> bytes:
    message = error.message.encode("utf-8", "backslashreplace").decode()
    await context.abort(grpc.StatusCode[error.code.name], message[:_MAX_ERROR_LENGTH])
    raise AssertionError("abort raises")


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses requests without the token, of every service.

    Args:
      guard: Checks the token.
      predictor: Counts and logs refused requests.
    """

    def __init__(self, guard: Guard, predictor: Predictor) -> None:
        self._guard = guard
        self._predictor = predictor

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a request, or one that refuses it."""
        if details.method in _OPEN_METHODS or details.method.startswith(_OPEN_PREFIXES):
            return await continuation(details)
        metadata = dict(details.invocation_metadata)
        try:
            self._guard.check_authorization(metadata.get("authorization", "").encode())
        except ServingError as error:
            refused = error
        else:
            return await continuation(details)

        async def refuse(data: bytes, context: Any) -> bytes:
            api = details.method.rpartition("/")[2]
            self._predictor.record(
                "GRPC", Call(api, peer=context.peer(), started=time.monotonic(), error=refused)
            )
            return await _abort(context, refused)

        return grpc.unary_unary_rpc_method_handler(refuse)
