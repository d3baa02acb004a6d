"""HTTP to a service: kept connections, addresses other than the name's, the service's own certificate."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from windtunnel.errors import InvalidSpec, ScoringFailed
from windtunnel.interface import Endpoint
from windtunnel.scoring_client import Answer, ScoringClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Scoring = Any


def client(
    uri: str, *, key: str | None = None, address: str | None = None, certificate: str | None = None
) -> ScoringClient:
    endpoint = Endpoint(scoring_uri=uri, swagger_uri="", key=key, address=address, certificate=certificate)
    return ScoringClient(endpoint, timeout_s=5)


def test_health_is_asked_for_at_the_root(scoring: Scoring) -> None:
    asking = client(scoring.uri, key="k" * 32)
    assert asking.alive()
    assert scoring.asked == [("GET /", "", b"")]  # without the key
    scoring.answers = [(503, b"")]
    assert not asking.alive()
    asking.close()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again() -> None:
    connections: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            connection, _address = listening.accept()
            with connection:
                connections.append(connection.recv(1000))
                # It says nothing of closing, and closes all the same.
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        asking = client(f"http://127.0.0.1:{listening.getsockname()[1]}/score")
        assert [asking.score(b"1").status, asking.score(b"2").status] == [200, 200]
        asking.close()
        thread.join()
    assert len(connections) == 2


def test_a_service_that_is_not_there_is_an_error_with_a_way_out() -> None:
    asking = client("http://127.0.0.1:1/score")
    with pytest.raises(ScoringFailed, match=r"http://127\.0\.0\.1:1/score cannot be reached") as failed:
        asking.score(b"1")
    assert "windtunnel logs" in (failed.value.way_out or "")
    assert not asking.alive()


def test_the_address_is_where_it_connects_to(scoring: Scoring) -> None:
    port = scoring.uri.split(":")[2]
    asking = client(f"http://wing.invalid:{port}", address="127.0.0.1")
    assert asking.score(b"1").status == 200
    asking.close()


@pytest.mark.parametrize("uri", ["ftp://x/score", "x", ""])
def test_what_is_no_url_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSpec):
        client(uri)


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(ScoringFailed, match="not JSON: '<html>'"):
        Answer(status=200, headers={}, body=b"<html>").json()


class TestTls:
    """A service with a certificate of its own."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wings.example")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("wings.example")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        path = tmp_path / "cert.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        return path

    @pytest.fixture
    def port(self, certificate: Path) -> Iterator[int]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            yield int(server.server_address[1])
            server.shutdown()
            thread.join()

    def test_it_is_trusted_for_its_name_at_any_address(self, port: int, certificate: Path) -> None:
        text = certificate.read_text("utf-8")
        asking = client(f"https://wings.example:{port}/score", address="127.0.0.1", certificate=text)
        assert asking.alive()
        asking.close()

    def test_without_it_nothing_is_sent(self, port: int) -> None:
        asking = client(f"https://wings.example:{port}/score", address="127.0.0.1", key="k" * 32)
        with pytest.raises(ScoringFailed, match="CERTIFICATE_VERIFY_FAILED"):
            asking.score(b"1")

    def test_another_name_is_refused(self, port: int, certificate: Path) -> None:
        text = certificate.read_text("utf-8")
        asking = client(f"https://other.example:{port}/score", address="127.0.0.1", certificate=text)
        with pytest.raises(ScoringFailed, match=r"not valid for 'other\.example'"):
            asking.score(b"1")
