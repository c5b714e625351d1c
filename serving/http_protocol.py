"""uvicorn's HTTP protocol with a read timeout and a limit on the header, which uvicorn lacks."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 2**16

_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def bounded_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Create a protocol that closes connections with a late request or too long a header.

    Args:
      seconds: Read timeout, from the connection or a request's first byte to its
        last byte.
    """

    class BoundedProtocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _incomplete = True
        _in_header = True
        _header_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._late)

        def connection_lost(self, error: Exception | None) -> None:
            self._cancel_timer()
            super().connection_lost(error)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._incomplete = self._in_header = True
            self._header_bytes = 0

        def on_headers_complete(self) -> None:
            self._in_header = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._incomplete = False
            super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Most requests arrive in one piece and never need the timer.
            if not self._incomplete:
                self._cancel_timer()
            elif self._timer is None:
                self._timer = self.loop.call_later(seconds, self._late)
            if self._in_header:
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                    self.send_400_response(f"The header has more than {MAX_HEADER_BYTES} bytes.")

        def _cancel_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.write(_LATE)
                self.transport.close()

    return BoundedProtocol
