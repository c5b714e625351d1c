"""Addresses to listen on: bound early, so that one in use is reported at once."""

import os
import socket
from typing import Any

from hln_tf.common.errors import HlnError


class Address:
    """A port that is bound, but accepts no connection before the server is ready.

    Args:
      flag: Name of the port's flag.
      host: Name or address of the interface.
      port: The port.

    Attributes:
      socket: The bound socket.

    Raises:
      HlnError: The host has no address, or the address is in use or is not one of
        this machine.
    """

    def __init__(self, flag: str, host: str, port: int) -> None:
        self._flag = flag
        self._name = f"{host}:{port}"
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (socket.gaierror, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no host name"
            raise HlnError(
                f"--host {host} has no address ({reason}): give a name or an address of this "
                "machine"
            ) from None
        family = found[0][0]
        self._address: tuple[Any, ...] = found[0][4]
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        # As every server does, so that connections of an earlier one do not block the port.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            self.socket.bind(self._address)
        except OSError as error:
            self.socket.close()
            raise self.taken(error) from None

    def __enter__(self) -> "Address":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    @property
    def text(self) -> str:
        """The numeric address with the port."""
        address, port = str(self._address[0]), self._address[1]
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def listen(self) -> None:
        """Begin to accept connections.

        Raises:
          HlnError: Another server has begun before.
        """
        try:
            self.socket.listen(2048)
        except OSError as error:
            raise self.taken(error) from None

    def taken(self, error: OSError | None = None) -> HlnError:
        """Create the error of an address that cannot be used."""
        reason = f" ({os.strerror(error.errno)})" if error and error.errno else ""
        return HlnError(
            f"cannot listen on {self._name}{reason}: choose another --host or --{self._flag}"
        )
