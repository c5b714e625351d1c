"""Access to the server: the token of requests, names of hosts, and the certificates of TLS."""

import base64
import binascii
import dataclasses
import hmac
import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import checked, setting
from serving.errors import Code, ServingError, invalid

# Probes have no token.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})


@dataclasses.dataclass(frozen=True)
class SecuritySettings:
    """Encryption and access."""

    tls_certificate_file: str = setting("", "certificate chain in PEM, for TLS on both ports")
    tls_key_file: str = setting("", "private key of the certificate in PEM")
    tls_client_ca_file: str = setting(
        "", "CA certificates in PEM: clients must have a certificate of one of them"
    )
    token_file: str = setting(
        "", "file of one line: requests need it as their bearer token, except health checks"
    )
    cors_origins: tuple[str, ...] = setting(
        (), "origins whose pages may call the REST API, such as https://shop.example; * for all"
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "names by which REST clients may address the server; by default any, but on a loopback "
        "--host only localhost and addresses, so that no website can reach the server by a name",
    )

    def __post_init__(self) -> None:
        checked(self)
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise UsageError(
                "one of --tls_certificate_file and --tls_key_file is missing, expected both for TLS"
            )
        if self.tls_client_ca_file and not self.tls_certificate_file:
            raise UsageError(
                "--tls_client_ca_file needs TLS: give --tls_certificate_file and --tls_key_file"
            )

    @property
    def has_tls(self) -> bool:
        """True if both ports speak TLS."""
        return bool(self.tls_certificate_file)


class Guard:
    """Checks the host and the token of requests.

    Args:
      settings: Encryption and access.
      host: Address that the server listens on.

    Raises:
      HlnError: The file of the token cannot be read or has no token.
    """

    def __init__(self, settings: SecuritySettings, host: str) -> None:
        self._token = read_token("token_file", settings.token_file)
        self._hosts: frozenset[str] | None = None
        if settings.allowed_hosts or is_loopback(host):
            self._hosts = frozenset({"localhost", host.lower(), *settings.allowed_hosts})

    def check_http(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Check an HTTP request.

        Raises:
          ServingError: INVALID_ARGUMENT for a host that is not allowed,
            UNAUTHENTICATED without the token.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and host and not self._is_allowed(host):
            raise invalid(
                f"The request's host is {host!r}: address the server by an IP address, by "
                "localhost or by a name of --allowed_hosts"
            )
        if self._token and path not in OPEN_PATHS:
            self.check_authorization(headers.get(b"authorization", b""))

    def check_authorization(self, header: bytes) -> None:
        """Check the value of an `Authorization` header, which has the token as bearer or password.

        Raises:
          ServingError: UNAUTHENTICATED; it lacks the token.
        """
        if not self._token:
            return
        scheme, _, credentials = header.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                credentials = base64.b64decode(credentials, validate=True).partition(b":")[2]
            except binascii.Error:
                credentials = b""
        elif scheme.lower() != b"bearer":
            credentials = b""
        if not hmac.compare_digest(credentials.strip(), self._token):
            raise ServingError(
                Code.UNAUTHENTICATED, "The request needs the header Authorization: Bearer TOKEN"
            )

    def _is_allowed(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        return self._hosts is None or name in self._hosts or _is_address(name)


def read_token(flag: str, path: str) -> bytes:
    """Read a file of one line with a token; empty without a file.

    Raises:
      HlnError: The file cannot be read, or is not one line of printable ASCII.
    """
    if not path:
        return b""
    try:
        token = Path(path).read_bytes().strip()
    except OSError as error:
        raise HlnError(f"--{flag} {path} cannot be read ({error.strerror})") from None
    if not token or any(not 33 <= byte <= 126 for byte in token):
        raise HlnError(
            f"--{flag} {path} has no token: expected one line of printable ASCII without blanks"
        )
    return token


def read_certificates(path: str) -> bytes:
    """Read a client's file of certificates in PEM; empty without a file.

    Raises:
      HlnError: The file cannot be read, or has no certificate.
    """
    if not path:
        return b""
    try:
        ssl.create_default_context(cafile=path)
        return Path(path).read_bytes()
    except (OSError, ssl.SSLError) as error:
        raise HlnError(f"--ca_file {path} has no certificate in PEM ({_reason(error)})") from None


def server_context(settings: SecuritySettings) -> ssl.SSLContext:
    """Create the TLS context of the settings' certificate.

    Raises:
      HlnError: A file cannot be read, or does not hold what its flag names.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise HlnError(
            f"--tls_certificate_file {settings.tls_certificate_file} and --tls_key_file "
            f"{settings.tls_key_file} are no certificate with its key ({_reason(error)})"
        ) from None
    if settings.tls_client_ca_file:
        try:
            context.load_verify_locations(settings.tls_client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise HlnError(
                f"--tls_client_ca_file {settings.tls_client_ca_file} has no certificate "
                f"({_reason(error)})"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from its own machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)
