"""Errors of requests: each has a canonical code and an HTTP status."""

import enum


class Code(enum.IntEnum):
    """The canonical status codes that gRPC and TensorFlow share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# As TensorFlow Serving maps them; every other code is a 500.
_HTTP_STATUS = {
    Code.OK: 200,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.CANCELLED: 499,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
}


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
      code: The canonical code.
      message: The message for the client.
      http_status: The HTTP status; that of the code by default.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or http_status_of(code)


def invalid(message: str) -> ServingError:
    """Create the error of an invalid request."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def http_status_of(code: Code) -> int:
    """Return the HTTP status that TensorFlow Serving uses for a code."""
    return _HTTP_STATUS.get(code, 500)
