"""A Kubernetes API whose objects never change: what a router needs to be measured without a cluster."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class FixedApi:
    """Lists the objects by plural; a watch stays silent until the end."""

    def __init__(self, objects: Mapping[str, Sequence[object]]) -> None:
        self._over = threading.Event()
        over = self._over

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                self.send_response(200)
                if "watch" in parse_qs(url.query):
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    over.wait()
                    self.close_connection = True
                    return
                # The router's own pods are asked for by namespace: there are none.
                items = [] if "/namespaces/" in url.path else list(objects.get(url.path.rpartition("/")[2], ()))
                body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Not into the report."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> FixedApi:
        threading.Thread(target=self._server.serve_forever, daemon=True, name="fixed-api").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self) -> str:
        """A kubeconfig for it, as JSON."""
        cluster = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        return json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "azureml"}}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
