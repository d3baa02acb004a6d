"""A request as WSGI describes it, for Flask's request class; used only where the real packages are installed."""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Request


def environ(request: Request) -> dict[str, object]:
    """By PEP 3333."""
    host, _, port = (request.headers.get("host") or "localhost").partition(":")
    result: dict[str, object] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port or ("443" if request.scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client or "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.titled().items():
        key = name.upper().replace("-", "_")
        result[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    result["CONTENT_LENGTH"] = str(len(request.body))
    return result


def flask_request(request: Request) -> object:
    """Raises ``ImportError`` without Flask."""
    make = cast("Callable[[dict[str, object]], object]", importlib.import_module("flask").Request)
    return make(environ(request))
