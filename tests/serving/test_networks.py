"""Servers for other machines: clients with certificates, and a network that is open."""

import contextlib
import http.client
import socket
import ssl

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from served import serve_flags, wait_for


@pytest.mark.slow
def test_clients_need_a_certificate_of_the_authority(versions, tmp_path):
    """With --tls_client_ca_file, both ports refuse clients without a certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("127.0.0.1", "client"):
        issued = authority.issue_cert(name)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    server = serve_flags(
        tmp_path / "log",
        *("--model_base_path", versions, "--model_name", "m"),
        *("--tls_certificate_file", tmp_path / "127.0.0.1.pem"),
        *("--tls_key_file", tmp_path / "127.0.0.1.key"),
        *("--tls_client_ca_file", tmp_path / "ca.pem"),
    )
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))

    def status():
        connection = http.client.HTTPSConnection("127.0.0.1", server.rest, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/models/m")
            return connection.getresponse().status

    wait_for(lambda: server.process.poll() is None and listens(server.rest), "server")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        status()
    ca, key, chain = (
        (tmp_path / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")
    )
    for credentials, works in (
        (grpc.ssl_channel_credentials(ca), False),
        (grpc.ssl_channel_credentials(ca, key, chain), True),
    ):
        with grpc.secure_channel(f"127.0.0.1:{server.grpc}", credentials) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            if works:
                answer = check(health_pb2.HealthCheckRequest(), timeout=60)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            else:
                with pytest.raises(grpc.RpcError):
                    check(health_pb2.HealthCheckRequest(), timeout=60)
    context.load_cert_chain(tmp_path / "client.pem")
    assert status() == 200
    assert server.stop() == 0


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("has_token", [False, True])
def test_an_open_network_without_a_token_is_a_warning(versions, tmp_path, has_token):
    """--host beyond loopback needs a token, or is logged once with the flags that close it."""
    (tmp_path / "token").write_text("a-long-secret-of-an-operator")
    token = ("--token_file", tmp_path / "token") if has_token else ()
    where = ("--model_base_path", versions, "--model_name", "m", "--host", "0.0.0.0")
    server = serve_flags(tmp_path / "log", *where, *token)
    wait_for(lambda: server.process.poll() is None and listens(server.rest), "server")
    warnings = [event for event in server.events() if event["event"] == "open"]
    assert server.stop() == 0
    assert len(warnings) == (not has_token)
    for warning in warnings:
        assert warning["level"] == "warning"
        assert warning["host"] == "0.0.0.0"
        assert "--token_file" in warning["reason"]
