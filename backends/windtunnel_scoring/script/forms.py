"""Forms as scripts read them: fields that may repeat, and uploaded files."""

from __future__ import annotations

import io
from email.message import Message
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

V = TypeVar("V")


class Values(Generic[V]):
    """Names with one or more values each, in the order given; reading one gives the first."""

    def __init__(self, pairs: Iterable[tuple[str, V]]) -> None:
        self._pairs = list(pairs)
        self._fold = False

    def ignore_case(self) -> None:
        """Compare names as HTTP compares those of headers."""
        self._fold = True

    def __getitem__(self, name: str) -> V:
        found = self.getlist(name)
        if not found:
            raise KeyError(name)
        return found[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.getlist(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def get(self, name: str, default: V | None = None) -> V | None:
        """The first value, or the default."""
        found = self.getlist(name)
        return found[0] if found else default

    def getlist(self, name: str) -> list[V]:
        """All values of a name."""
        wanted = self._key(name)
        return [value for key, value in self._pairs if self._key(key) == wanted]

    def keys(self) -> list[str]:
        """Each name once."""
        first: dict[str, str] = {}
        for key, _ in self._pairs:
            first.setdefault(self._key(key), key)
        return list(first.values())

    def items(self) -> list[tuple[str, V]]:
        """Each name with its first value."""
        return [(name, self[name]) for name in self.keys()]

    def to_dict(self) -> dict[str, V]:
        """Each name with its first value."""
        return dict(self.items())

    def __repr__(self) -> str:
        return f"Values({self._pairs!r})"

    def _key(self, name: str) -> str:
        return name.lower() if self._fold else name


class Upload(io.BytesIO):
    """An uploaded file."""

    def __init__(self, content: bytes, *, name: str, filename: str, content_type: str) -> None:
        super().__init__(content)
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.mimetype = content_type.partition(";")[0].strip()


def parse_multipart(content_type: str, body: bytes) -> tuple[Values[str], Values[Upload]]:
    """Fields and files of a ``multipart/form-data`` body; what is not one has neither."""
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, Upload]] = []
    for head, content in _parts(_boundary(content_type), body):
        name = head.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            continue
        filename = head.get_filename()
        if filename is None:
            fields.append((name, content.decode("utf-8", "replace")))
        else:
            kind = str(head.get("content-type", "application/octet-stream"))
            files.append((name, Upload(content, name=name, filename=filename, content_type=kind)))
    return Values(fields), Values(files)


def _boundary(content_type: str) -> bytes:
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_boundary()
    return boundary.encode("latin-1", "replace") if boundary else b""


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[Message, bytes]]:
    if not boundary:
        return
    # Everything before the first delimiter is a preamble, and a delimiter with -- after it is the last (RFC 2046).
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if part.startswith(b"--"):
            return
        head, separator, content = part.partition(b"\r\n\r\n")
        if separator:
            yield BytesHeaderParser().parsebytes(head.lstrip()), content
