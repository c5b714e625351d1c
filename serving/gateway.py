"""The entrance of all HTTP routes: limits, host, token, errors, counts and log, in one place."""

import asyncio
import dataclasses
import json
import logging
import time
import zlib
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import Code, ServingError, invalid
from serving.http_protocol import REFUSED
from serving.security import Guard

_LOGGER = logging.getLogger(__name__)
_JSON_HEADER = (b"content-type", b"application/json")
_GZIP = 16 + zlib.MAX_WBITS


@dataclasses.dataclass
class Call:
    """A request while it is answered; the routes fill in what they know of it.

    Attributes:
      api: The API method, such as Predict; empty for requests that are neither
        counted nor logged, unless they fail.
      model: The model's name in the request.
      peer: Address of the client.
      started: `time.monotonic()` when the request was complete.
      error: Error of a request that failed.
    """

    api: str = ""
    model: str = ""
    peer: str = ""
    started: float = 0.0
    error: ServingError | None = None

    @classmethod
    def refused(cls, client: tuple[str, int] | None, error: ServingError) -> "Call":
        """Create the call of a request that no route has seen."""
        peer = f"{client[0]}:{client[1]}" if client else ""
        return cls(peer=peer, started=time.monotonic(), error=error)


def call_of(scope: Scope) -> Call:
    """Return the call of an ASGI scope."""
    call: Call = scope["call"]
    return call


class Gateway:
    """An ASGI application that hands complete, allowed requests to another one.

    It reads a body up to the limit and inflates it, before any route sees it.

    Args:
      app: The application; a `ServingError` that it raises is the response.
      guard: Checks host and token.
      max_bytes: Largest body.
      record: Counts and logs a call.
    """

    def __init__(
        self, app: ASGIApp, guard: Guard, max_bytes: int, record: Callable[[str, Call], None]
    ) -> None:
        self._app = app
        self._guard = guard
        self._max_bytes = max_bytes
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = scope["call"] = Call(started=time.monotonic())
        if scope["client"]:
            call.peer = f"{scope['client'][0]}:{scope['client'][1]}"
        headers = dict(scope["headers"])
        has_started = False

        async def tracked(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            body = await self._read(scope["path"], headers, receive)
            call.started = time.monotonic()
            await self._app(scope, _replay(body, receive), tracked)
        except ServingError as error:
            call.error = error
        except ClientDisconnect:
            call.error = ServingError(Code.CANCELLED, "The client closed the connection")
        except asyncio.CancelledError:
            # By uvicorn, when the grace period is over; an exception would be logged as a defect.
            call.error = ServingError(Code.UNAVAILABLE, "The server shuts down")
        except Exception:
            _LOGGER.exception("a request failed by a defect of the server")
            call.error = ServingError(Code.INTERNAL, "Internal error, see the server's log")
        if call.error and call.error.code is not Code.CANCELLED and not has_started:
            has_rest = b"expect" in headers or call.error.http_status in (413, 503)
            await send_error(send, call.error, has_rest)
        if (call.api or call.error) and REFUSED not in scope:
            self._record("REST", call)

    async def _read(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the whole body; that of a refused request is read to its end and discarded."""
        too_large = ServingError(
            Code.INVALID_ARGUMENT,
            f"The body has more than {self._max_bytes} bytes (--max_request_bytes)",
            http_status=413,
        )
        refusal: ServingError | None = None
        try:
            self._guard.check_http(path, headers)
        except ServingError as error:
            refusal = error
        if b"expect" in headers and int(headers.get(b"content-length", b"0")) > self._max_bytes:
            refusal = refusal or too_large
        if refusal and b"expect" in headers:
            raise refusal
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            size += len(message["body"])
            if refusal or size > self._max_bytes:
                pieces.clear()
            else:
                pieces.append(message["body"])
            more = message["more_body"]
        if refusal:
            raise refusal
        if size > self._max_bytes:
            raise too_large
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding == b"identity":
            return body
        if encoding != b"gzip":
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Content-Encoding is {encoding.decode('latin-1')!r}, expected gzip or none",
                http_status=415,
            )
        inflater = zlib.decompressobj(_GZIP)
        try:
            inflated = inflater.decompress(body, self._max_bytes + 1)
        except zlib.error:
            raise invalid("The body is not gzip, as its Content-Encoding says") from None
        if len(inflated) > self._max_bytes:
            raise too_large
        if not inflater.eof:
            raise invalid("The gzip body is incomplete")
        return inflated


async def send_error(send: Send, error: ServingError, must_close: bool = False) -> None:
    """Send an error as JSON, and close the connection if the body has not been read."""
    body = error_body(error)
    headers = [_JSON_HEADER, (b"content-length", str(len(body)).encode())]
    if error.http_status == 401:
        headers += [
            (b"www-authenticate", b'Bearer realm="hln-tf"'),
            (b"www-authenticate", b'Basic realm="hln-tf, the token is the password"'),
        ]
    if must_close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_body(error: ServingError) -> bytes:
    """Return the JSON of an error."""
    # Standard JSON escapes what is not text, such as half of a surrogate pair.
    return json.dumps({"error": error.message}).encode()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Create a `receive` that yields a complete body once, then what the connection does."""
    is_read = False

    async def replayed() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
