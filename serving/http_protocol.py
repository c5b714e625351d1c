"""uvicorn's HTTP protocol with the limits and the care for odd clients that uvicorn lacks."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.errors import Code, ServingError, invalid

MAX_HEADER_BYTES = 2**16
# Key in the scope of a request that the protocol has refused and recorded.
REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class ConnectionLimits:
    """Limits of a connection.

    Attributes:
      read_seconds: Time for a request, from the connection or its first byte to
        its last byte.
      write_seconds: Time for which the client may leave a response unread.
      record: Called with the client's address and the error of a request that
        the protocol itself refuses, because it never becomes complete.
    """

    read_seconds: float
    write_seconds: float
    record: Callable[[tuple[str, int] | None, ServingError], None]


def bounded_protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Create a protocol that holds the limits.

    It answers a request that is late, has too long a header or is not HTTP by
    JSON, after the responses to earlier requests of the connection. A client
    that shuts its side down after a request gets the response nevertheless.
    """

    class BoundedProtocol(HttpToolsProtocol):
        _read_timer: asyncio.TimerHandle | None = None
        _write_timer: asyncio.TimerHandle | None = None
        _incomplete = True  # the request that is being received
        _in_header = True
        _field_bytes = 0  # of the header's complete fields
        _piece_bytes = 0  # of the pieces that continue the header
        _messages = 0
        _unanswered = 0  # requests whose header has arrived
        _refusal: bytes | None = None
        _half_closed = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._read_timer = self.loop.call_later(limits.read_seconds, self._late)

        def connection_lost(self, error: Exception | None) -> None:
            self._cancel_read_timer()
            self._cancel_write_timer()
            super().connection_lost(error)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._incomplete = self._in_header = True
            self._field_bytes = self._piece_bytes = 0
            self._messages += 1

        def on_url(self, url: bytes) -> None:
            self._field_bytes += len(url)
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._field_bytes += len(name) + len(value) + 4
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_header = False
            self._unanswered += 1
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._incomplete = False
            super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            if self._refusal is not None:
                return
            messages = self._messages
            super().data_received(data)
            # Most requests arrive in one piece and never need the timer.
            if not self._incomplete:
                self._cancel_read_timer()
            elif self._read_timer is None:
                self._read_timer = self.loop.call_later(limits.read_seconds, self._late)
            if self._in_header:
                # A piece that ends in another header than it began with is not of that alone.
                self._piece_bytes += len(data) if messages == self._messages else 0
                if max(self._field_bytes, self._piece_bytes) > MAX_HEADER_BYTES:
                    self._refuse(invalid(f"The header has more than {MAX_HEADER_BYTES} bytes"))

        def send_400_response(self, msg: str) -> None:
            """Refuse a request that is not HTTP, instead of uvicorn's text."""
            self._refuse(invalid(f"Malformed request: {msg}"))

        def on_response_complete(self) -> None:
            self._unanswered -= 1
            if self._refusal is not None and not self._has_earlier_requests():
                self._close_with(self._refusal)
            elif self._half_closed and not self._has_earlier_requests():
                self.transport.close()
            else:
                super().on_response_complete()

        def eof_received(self) -> bool | None:  # type: ignore[override]
            """Keep the connection for the responses to the client's complete requests."""
            self._half_closed = True
            is_open = self._has_earlier_requests() and self.scheme == "http"
            return is_open or None

        def shutdown(self) -> None:
            """Begin the end of the connection; an incomplete request is refused."""
            if self._incomplete and not self._in_header:
                self._refuse(ServingError(Code.UNAVAILABLE, "The server shuts down"))
            else:
                super().shutdown()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._cancel_write_timer()
            self._write_timer = self.loop.call_later(limits.write_seconds, self._unread)

        def resume_writing(self) -> None:
            self._cancel_write_timer()
            super().resume_writing()

        def _cancel_read_timer(self) -> None:
            if self._read_timer is not None:
                self._read_timer.cancel()
                self._read_timer = None

        def _cancel_write_timer(self) -> None:
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

        def _late(self) -> None:
            self._read_timer = None
            message = f"The request did not arrive within {limits.read_seconds:g} s"
            self._refuse(ServingError(Code.DEADLINE_EXCEEDED, message, http_status=408))

        def _unread(self) -> None:
            self._write_timer = None
            message = f"The client read no response for {limits.write_seconds:g} s"
            limits.record(self.client, ServingError(Code.DEADLINE_EXCEEDED, message))
            self.transport.abort()

        def _has_earlier_requests(self) -> bool:
            """Return whether complete requests wait for their responses."""
            own = self._incomplete and not self._in_header
            return self._unanswered > (1 if own else 0)

        def _refuse(self, error: ServingError) -> None:
            """Answer the request that is being received, and read no further one."""
            if self._refusal is not None or self.transport.is_closing():
                return
            limits.record(self.client, error)
            self._refusal = _response(error)
            if self._incomplete and not self._in_header:
                self.scope[REFUSED] = True  # type: ignore[literal-required]
            if not self._has_earlier_requests():
                self._close_with(self._refusal)

        def _close_with(self, response: bytes) -> None:
            if not self.transport.is_closing():
                self.transport.write(response)
                self.transport.close()

    return BoundedProtocol


def _response(error: ServingError) -> bytes:
    body = json.dumps({"error": error.message}).encode()
    phrase = HTTPStatus(error.http_status).phrase
    head = (
        f"HTTP/1.1 {error.http_status} {phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
