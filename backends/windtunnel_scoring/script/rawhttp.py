"""Raw HTTP for scripts: ``@rawhttp``, ``AMLRequest`` and ``AMLResponse``, without Flask.

A script imports these by their documented names (see ``imports.py``). ``AMLRequest`` offers the part of Flask's
request that such scripts use; what it does not have raises ``AttributeError`` with the way out. Where the real
packages are installed, they are used instead and the script gets Flask's own request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import parse_qsl, unquote

from windtunnel_scoring.script.forms import Values, parse_multipart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.script.forms import Upload

MARK = "__windtunnel_rawhttp__"
_Run = TypeVar("_Run", bound="Callable[..., object]")


def rawhttp(run: _Run) -> _Run:
    """Marks ``run()``: it gets the request itself instead of its body."""
    setattr(run, MARK, True)
    return run


class AMLResponse:
    """An answer that ``run()`` decides by itself. Repeated headers are given separated by commas."""

    def __init__(
        self,
        message: object,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        """``message`` is text or bytes, or with ``json_str`` anything that JSON can hold; None is ``{}``."""
        content_type = "text/html; charset=utf-8"
        if message is None or json_str:
            body = json.dumps({} if message is None else message).encode()
            content_type = "application/json"
        elif isinstance(message, bytes | bytearray | memoryview):
            body = bytes(cast("bytes", message))
        elif isinstance(message, str):
            body = message.encode()
        else:
            raise TypeError(f"AMLResponse takes text or bytes, not {type(message).__name__}; or json_str=True")
        given = dict(response_headers or {})
        pairs = [(name, part.strip()) for name, value in given.items() for part in value.split(",")]
        if "content-type" not in {name.lower() for name, _ in pairs}:
            pairs.insert(0, ("Content-Type", content_type))
        self.status_code = int(status_code)
        self.headers: list[tuple[str, str]] = pairs
        self.run_function_failed = run_function_failed
        self._body = body

    def get_data(self) -> bytes:
        """The body."""
        return self._body

    @property
    def data(self) -> bytes:
        """The body."""
        return self._body


class AMLRequest:
    """The request as scripts know it from Flask."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.method = request.method
        self.scheme = request.scheme
        self.path = unquote(request.path)
        self.query_string = request.query
        self.headers = Values(
            (name.decode("latin-1").title(), value.decode("latin-1")) for name, value in request.headers.raw
        )
        self.headers.ignore_case()
        self.args = Values(parse_qsl(request.query.decode("utf-8", "replace"), keep_blank_values=True))
        self.mimetype = request.headers.media_type
        self.content_type = request.headers.get("content-type")
        self.content_length = len(request.body)
        self.host = request.headers.get("host") or ""
        self.remote_addr = request.client
        self._form: Values[str] = Values(())
        self._files: Values[Upload] = Values(())
        self._body = request.body
        if self.mimetype == "application/x-www-form-urlencoded":
            self._form = Values(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        elif self.mimetype == "multipart/form-data":
            self._form, self._files = parse_multipart(self.content_type or "", request.body)

    @property
    def full_path(self) -> str:
        """Path and query, with the question mark even when there is no query."""
        return f"{self.path}?{self.query_string.decode('latin-1')}"

    @property
    def url(self) -> str:
        """The whole address."""
        path = self.full_path if self.query_string else self.path
        return f"{self.scheme}://{self.host}{path}"

    base_url = property(lambda self: f"{self.scheme}://{self.host}{self.path}")

    @property
    def form(self) -> Values[str]:
        """The fields of a form."""
        return self._form

    @property
    def files(self) -> Values[Upload]:
        """The files of a form."""
        return self._files

    @property
    def data(self) -> bytes:
        """The body; empty for a form, whose fields are in ``form`` and ``files``."""
        is_form = self.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")
        return b"" if is_form else self._body

    def get_data(self, cache: bool = True, as_text: bool = False) -> bytes | str:
        """The body as it came, whatever its type."""
        del cache
        return self._body.decode("utf-8", "replace") if as_text else self._body

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON."""
        return self.mimetype == "application/json" or (
            self.mimetype.startswith("application/") and self.mimetype.endswith("+json")
        )

    def get_json(self, force: bool = False, silent: bool = False) -> object:
        """The body as JSON; raises ``ValueError`` unless ``silent``."""
        try:
            if not (force or self.is_json):
                raise ValueError("the request's Content-Type is not application/json")
            return cast("object", json.loads(self._body))
        except ValueError:
            if silent:
                return None
            raise

    json = property(get_json)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"this request has no {name!r}: it offers a part of Flask's request;"
            " add azureml-inference-server-http to the requirements to get all of it"
        )
