"""What the tests of collection share: an environment that collects, and a blob service that takes appends."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from windtunnel_scoring.collection import collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "c2VjcmV0LWtleQ=="


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Collected:
    """Where a test collects to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def flush(self) -> None:
        for writer in collector.writers.values():
            assert writer.flush(20)

    def files(self) -> dict[str, list[str]]:
        """Lines by path."""
        self.flush()
        root = self._folder / "modeldata"
        return {
            str(path.relative_to(root)): path.read_text("utf-8").splitlines()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def dropped(self) -> int:
        self.flush()
        return sum(writer.counts.dropped for writer in collector.writers.values())


@pytest.fixture
def collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """Collection into a folder, for the service ``svc`` and without a model map."""
    monkeypatch.setattr(collector, "writers", {})
    made = Collected(tmp_path / "out", monkeypatch)
    made.set(
        AML_MODEL_DC_STORAGE_ENABLED="true",
        AML_MODEL_DC_STORAGE=str(tmp_path / "out"),
        SERVICE_NAME="svc",
        AML_APP_ROOT=str(tmp_path),
        WINDTUNNEL_DC_WORKSPACE="SUB/Group/WS",
        WINDTUNNEL_DC_FLUSH_S="0.001",
    )
    for name in ("AML_MODEL_DC_DEBUG", "AML_MODEL_DC_BOUNDARY", "AZUREML_MODEL_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield made
    for writer in collector.writers.values():
        writer.close()


class BlobService:
    """Append blobs of one account, by the rules of the REST protocol; the judge of what the library sends."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.blocks: dict[str, int] = {}
        self.containers: set[str] = set()
        self.most_blocks = 50_000
        self.failing = False
        self.on_create: list[str] = []
        """Blobs that another replica makes and writes to just before the next one is created."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                status, code = service.put(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                if code:
                    self.send_header("x-ms-error-code", code)
                self.send_header("x-ms-request-id", "1")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def connection_string(self) -> str:
        endpoint = f"http://127.0.0.1:{self._server.server_address[1]}/account"
        return f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={KEY};BlobEndpoint={endpoint};"

    def put(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        if self.failing:
            return 403, "AuthorizationFailure"
        if not headers.get("authorization", "").startswith("SharedKey account:"):
            return 403, "AuthenticationFailed"
        url = urlsplit(target)
        query = parse_qs(url.query)
        container, _, blob = unquote(url.path).removeprefix("/account/").partition("/")
        if query.get("restype") == ["container"]:
            if container in self.containers:
                return 409, "ContainerAlreadyExists"
            self.containers.add(container)
            return 201, ""
        if container not in self.containers:
            return 404, "ContainerNotFound"
        if query.get("comp") != ["appendblock"]:
            assert headers["x-ms-blob-type"] == "AppendBlob"
            while self.on_create:
                self.blobs[blob] = self.on_create.pop().encode()
            if headers.get("if-none-match") == "*" and blob in self.blobs:
                return 409, "BlobAlreadyExists"
            self.blobs[blob] = b""
            return 201, ""
        if blob not in self.blobs:
            return 404, "BlobNotFound"
        position = headers.get("x-ms-blob-condition-appendpos")
        if position is not None and int(position) != len(self.blobs[blob]):
            return 412, "AppendPositionConditionNotMet"
        if self.blocks.get(blob, 0) >= self.most_blocks:
            return 409, "BlockCountExceedsLimit"
        self.blocks[blob] = self.blocks.get(blob, 0) + 1
        self.blobs[blob] += body
        return 201, ""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def blobs() -> Iterator[BlobService]:
    made = BlobService()
    yield made
    made.close()
