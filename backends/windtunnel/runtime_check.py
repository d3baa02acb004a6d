"""What the installed onnxruntime can run: asked of onnxruntime itself, since no table stays right.

The same version is pinned in the image, so what it knows here it knows there.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

# What onnxruntime 1.20, the oldest that the `scoring` extra allows, runs: no need to ask for these.
_KNOWN_OPSETS = {"": 21, "ai.onnx.ml": 4}
_KNOWN_IR = 10
_PROBE_OPSET = 13
_FARTHEST = 256
"""Where the search for the newest known version ends."""


class Runtime(Protocol):
    """A version of onnxruntime, and what it knows."""

    @property
    def version(self) -> str: ...
    def knows_opset(self, domain: str, version: int) -> bool:
        """Whether models of this operator set load."""
        ...

    def newest_opset(self, domain: str) -> int: ...
    def knows_ir(self, version: int) -> bool:
        """Whether models of this IR version load."""
        ...

    def newest_ir(self) -> int: ...


class _Options(Protocol):
    log_severity_level: int


class _Onnxruntime(Protocol):
    """The part of the module that is used."""

    def SessionOptions(self) -> _Options: ...
    def InferenceSession(self, model: bytes, *, sess_options: _Options, providers: list[str]) -> object: ...


class InstalledRuntime:
    """The onnxruntime of this interpreter; imported only for what is newer than every supported version knows."""

    @property
    def version(self) -> str:
        """Raises ``MissingExtra``."""
        try:
            return metadata.version("onnxruntime")
        except metadata.PackageNotFoundError as error:
            raise MissingExtra("packaging a model", "scoring", "onnxruntime") from error

    def knows_opset(self, domain: str, version: int) -> bool:
        if version <= _KNOWN_OPSETS.get(domain, 0):
            return True
        return self._loads({**({} if domain == "" else {"": _PROBE_OPSET}), domain: version}, _KNOWN_IR)

    def newest_opset(self, domain: str) -> int:
        return _newest(lambda version: self.knows_opset(domain, version))

    def knows_ir(self, version: int) -> bool:
        return version <= _KNOWN_IR or self._loads({"": _PROBE_OPSET}, version)

    def newest_ir(self) -> int:
        return _newest(self.knows_ir)

    def _loads(self, opsets: dict[str, int], ir_version: int) -> bool:
        """Whether a model of one Identity node, stamped so, loads."""
        _ = self.version
        onnxruntime = cast("_Onnxruntime", import_module("onnxruntime"))  # lazily: 0.2 s; it has no types
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(
                _identity(opsets, ir_version), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's exceptions share no base class; these two texts are its refusals of a version.
            if "opset" in str(error).lower() or "IR version" in str(error):
                return False
            raise
        return True


def _newest(knows: Callable[[int], bool]) -> int:
    """The last version that is known, given that all before it are."""
    low, high = 1, _FARTHEST
    while low < high:
        middle = (low + high + 1) // 2
        if knows(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _identity(opsets: dict[str, int], ir_version: int) -> bytes:
    """A ``ModelProto`` of one node, written by hand: y = Identity(x), float32[1]."""

    def number(field: int, value: int) -> bytes:
        return _varint(field << 3) + _varint(value)

    def message(field: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return _varint(field << 3 | 2) + _varint(len(body)) + body

    def value(field: int, name: bytes) -> bytes:
        shape = message(2, message(1, number(1, 1)))
        return message(field, message(1, name), message(2, message(1, number(1, 1), shape)))

    node = message(1, message(1, b"x"), message(2, b"y"), message(4, b"Identity"))
    graph = message(7, node, message(2, b"probe"), value(11, b"x"), value(12, b"y"))
    imports = [message(8, message(1, domain.encode()), number(2, version)) for domain, version in opsets.items()]
    return number(1, ir_version) + graph + b"".join(imports)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
