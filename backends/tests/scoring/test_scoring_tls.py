"""TLS of the front end, and both programs as a container group runs them."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING

import pytest

from windtunnel_contracts import models
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.frontend import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.scoring.conftest import Reply, Server

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))


class TestTls:
    """Certificates as text and as files."""

    def test_text_and_files_and_spelled_out_line_breaks(self, pair: tuple[Path, Path]) -> None:
        cert, key = pair
        for chain, private in (
            (str(cert), str(key)),
            (cert.read_text(), key.read_text()),
            (cert.read_text().replace("\n", "\\n"), key.read_text().replace("\n", "\\n")),
        ):
            assert tls.server_context(chain, private).minimum_version == ssl.TLSVersion.TLSv1_2

    def test_what_cannot_be_used_never_shows_the_key(self, pair: tuple[Path, Path], tmp_path: Path) -> None:
        cert, key = pair
        other = certificate(tmp_path)[1].read_text()
        for chain, private in ((cert.read_text(), other), ("-----BEGIN x", key.read_text()), (str(cert), str(cert))):
            with pytest.raises(StartError, match="the TLS certificate and key cannot be used") as caught:
                tls.server_context(chain, private)
            assert "BEGIN" not in str(caught.value)
            assert caught.value.__cause__ is None
        with pytest.raises(StartError, match="WINDTUNNEL_TLS_KEY is neither PEM text nor a file that exists") as caught:
            tls.server_context(str(cert), "s3cret")
        assert "s3cret" not in str(caught.value)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


class TestProcesses:
    """Both programs, as a container group runs them."""

    @pytest.fixture
    def scoring(self, serve: Callable[..., Server], tmp_path: Path) -> Server:
        models.write(models.identity(), tmp_path / "model")
        return serve({"AZUREML_MODEL_DIR": str(tmp_path / "model")})

    @pytest.fixture
    def https(
        self, serve: Callable[..., Server], scoring: Server, tmp_path: Path
    ) -> Iterator[http.client.HTTPSConnection]:
        cert, key = certificate(tmp_path)
        server = serve(
            {
                "WINDTUNNEL_UPSTREAM_PORT": str(scoring.port),
                "WINDTUNNEL_PRIMARY_KEY": "first",
                "WINDTUNNEL_SECONDARY_KEY": "second",
                "WINDTUNNEL_TLS_CERT": cert.read_text(),
                "WINDTUNNEL_TLS_KEY": key.read_text(),
            },
            module="windtunnel_scoring.frontend",
        )
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=DEADLINE_S, context=context)
        connection.connect()
        yield connection
        assert server.stop() == 0, "with a client that keeps its TLS connection open"
        connection.close()
        assert "first" not in server.log()

    def test_tls_and_keys(self, https: http.client.HTTPSConnection, exchange: Callable[..., Reply]) -> None:
        assert isinstance(https.sock, ssl.SSLSocket)
        assert https.sock.version() in ("TLSv1.2", "TLSv1.3")
        assert exchange(https, "GET", "/").body == b"Healthy"
        body = json.dumps({"data": [[1, 2]]}).encode()
        json_type = {"Content-Type": "application/json"}
        assert exchange(https, "POST", "/score", body, json_type).status == 401
        reply = exchange(https, "POST", "/score", body, {**json_type, "Authorization": "Bearer second"})
        assert (reply.status, reply.json()) == (200, [[1.0, 2.0]])
        assert reply.headers["x-ms-server-version"].startswith("windtunnel/")

    def test_a_large_body(self, https: http.client.HTTPSConnection, exchange: Callable[..., Reply]) -> None:
        rows = 100_000
        body = json.dumps({"data": [[0.5, -1.0]] * rows}).encode()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer first"}
        reply = exchange(https, "POST", "/score", body, headers)
        assert reply.json() == [[0.5, -1.0]] * rows

    def test_the_container_ends_and_is_missed(
        self, https: http.client.HTTPSConnection, scoring: Server, exchange: Callable[..., Reply]
    ) -> None:
        assert exchange(https, "GET", "/").status == 200
        assert scoring.stop() == 0
        assert exchange(https, "GET", "/").status == 503

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({}, "neither WINDTUNNEL_PRIMARY_KEY nor WINDTUNNEL_SECONDARY_KEY is set"),
            (
                {"WINDTUNNEL_PRIMARY_KEY": "k", "WINDTUNNEL_TLS_CERT": "/no", "WINDTUNNEL_TLS_KEY": "/no"},
                "WINDTUNNEL_TLS_CERT is neither PEM text nor a file that exists",
            ),
            ({"WINDTUNNEL_AUTH": "none", "WINDTUNNEL_ADDRESS": "203.0.113.1"}, "cannot listen at 203.0.113.1 port 0"),
        ],
    )
    def test_what_cannot_start_ends_with_3(
        self, serve: Callable[..., Server], variables: dict[str, str], said: str
    ) -> None:
        server = serve(variables, module="windtunnel_scoring.frontend", wait=False)
        assert server.wait() == 3
        assert said in server.log()
        assert "Traceback" not in server.log()
