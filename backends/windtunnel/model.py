"""``Model``: what an ONNX file says of itself, or the sentence that says why it cannot be deployed."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from windtunnel.errors import (
    DamagedModel,
    EmptyModel,
    MissingData,
    ModelError,
    ModelTooLarge,
    NeedsNewerRuntime,
    NotFound,
    NotOnnx,
)
from windtunnel.onnx_wire import BYTES, VARINT, Field, Graph, Reader, ValueType, WireError
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.runtime_check import Runtime

GB = 1_000_000_000
PROTOBUF_LIMIT = 2**31 - 1
LIMITS: Mapping[Target, tuple[int, str]] = {
    # Azure ML's documentation of the ACI target: "models under 1 GB".
    Target.ACI: (GB, "Azure Container Instances takes models under 1 GB"),
}

# Field numbers and wire types of ModelProto; anything else before the graph means that the file is no ONNX model.
_MODEL_FIELDS = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES,
                 25: BYTES, 26: BYTES}  # fmt: skip
_OTHER_FORMATS = (
    (0, b"PK\x03\x04", "it is a zip archive (PyTorch's .pt and Keras' .keras are)"),
    (0, b"\x89HDF", "it is an HDF5 file (Keras' .h5 is)"),
    (0, b"\x80", "it looks like a Python pickle"),
    (4, b"TFL3", "it is a TensorFlow Lite model"),
    (4, b"ORTM", "it is a model in ONNX Runtime's own format (.ort)"),
    (0, b"{", "it looks like JSON"),
    (0, b"version https://git-lfs", "it is a Git LFS pointer: the model itself was not fetched (git lfs pull)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output. ``shape`` has numbers, names of symbolic dimensions, and None for what is unknown."""

    name: str
    dtype: str | None
    """numpy's name, ``str`` for strings; None for what is no tensor (a sequence, a map)."""
    shape: tuple[int | str | None, ...] | None
    """None when the rank is unknown."""
    text: str
    """As in ``float32[batch,64]`` or ``sequence(map(int64,float32))``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One ONNX model on disk."""

    path: Path
    sha256: str
    """Of the file itself."""
    size: int
    """In bytes, with the files of external data."""
    ir_version: int
    opsets: Mapping[str, int]
    """Version by domain; ``""`` is ONNX's own."""
    producer: str
    inputs: tuple[Tensor, ...]
    """Without those that have a value in the file."""
    outputs: tuple[Tensor, ...]
    nodes: int
    data_files: tuple[Path, ...] = ()
    """External data, as paths relative to the model's folder."""

    @classmethod
    def read(cls, path: Path) -> Model:
        """Raises ``NotFound`` and the errors below ``ModelError``."""
        if not path.is_file():
            raise NotFound(f"there is no model file at {str(path)!r}")
        size = path.stat().st_size
        if size == 0:
            raise EmptyModel(f"{path.name} is empty (0 bytes)", way_out="Export the model again.")
        if size > PROTOBUF_LIMIT:
            raise ModelTooLarge(
                f"{path.name} has {size:,} bytes; a protobuf message cannot have more than {PROTOBUF_LIMIT:,}",
                way_out="Save the weights as external data (onnx.save_model(..., save_as_external_data=True)).",
            )
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            digest = hashlib.sha256(mapped).hexdigest()
            with memoryview(mapped) as view:
                return _parse(path, view, digest, size)

    def check_target(self, target: Target) -> None:
        """Raises ``ModelTooLarge`` when the model is over the target's limit."""
        limit, rule = LIMITS.get(target, (None, ""))
        if limit is not None and self.size >= limit:
            raise ModelTooLarge(
                f"{self.path.name} has {self.size / GB:.2f} GB ({self.size:,} bytes) and {rule}",
                way_out="Choose another target, or make the model smaller (quantise it, or prune its weights).",
            )

    def check_runtime(self, runtime: Runtime) -> None:
        """Raises ``NeedsNewerRuntime`` when the runtime does not know the model's operator sets or its format."""
        for domain, version in sorted(self.opsets.items()):
            if not runtime.knows_opset(domain, version):
                what = f"operator set {version}" + (f" of domain {domain!r}" if domain else "")
                raise NeedsNewerRuntime(
                    f"{self.path.name} needs {what}; onnxruntime {runtime.version}, which will run it, knows up to"
                    f" {runtime.newest_opset(domain)}",
                    way_out="Export the model for an older operator set, or install a newer onnxruntime.",
                )
        if not runtime.knows_ir(self.ir_version):
            raise NeedsNewerRuntime(
                f"{self.path.name} has IR version {self.ir_version}; onnxruntime {runtime.version}, which will run it,"
                f" knows up to {runtime.newest_ir()}",
                way_out="Save the model with an older onnx package (its ir_version), or install a newer onnxruntime.",
            )


def _parse(path: Path, view: memoryview, digest: str, size: int) -> Model:
    reader = Reader(view)
    graph_field: Field | None = None
    ir_version = 0
    opsets: dict[str, int] = {}
    producer = ["", ""]
    seen = 0
    try:
        for item in reader.fields(0, len(view)):
            if graph_field is None and _MODEL_FIELDS.get(item.number) != item.kind:
                raise _not_onnx(path, view)
            seen += 1
            match item.number:
                case 1:
                    ir_version = item.value
                case 2 | 3:
                    producer[item.number - 2] = reader.text(item)
                case 7:
                    graph_field = item
                case 8:
                    domain, version = reader.opset(item)
                    opsets["" if domain == "ai.onnx" else domain] = version
                case _:
                    pass
        graph = reader.graph(graph_field) if graph_field is not None else None
    except WireError as error:
        if seen == 0 or ir_version == 0:
            raise _not_onnx(path, view) from error
        what = "truncated" if error.truncated else "damaged"
        raise DamagedModel(
            f"{path.name} is {what}: {error} (the file has {len(view):,} bytes)",
            way_out="Copy or export the model again.",
        ) from error
    if ir_version == 0:
        raise _not_onnx(path, view)
    if graph is None:
        raise EmptyModel(f"{path.name} has no graph", way_out="Copy or export the model again.")
    if not graph.outputs:
        raise EmptyModel(f"{path.name} has a graph without outputs: there is nothing to predict")
    if not opsets:
        raise DamagedModel(
            f"{path.name} is damaged: it does not say which operator set it uses", way_out="Export the model again."
        )
    data_files = _external(path, graph)
    return Model(
        path=path,
        sha256=digest,
        size=size + sum((path.parent / f).stat().st_size for f in data_files),
        ir_version=ir_version,
        opsets=opsets,
        producer=" ".join(p for p in producer if p),
        inputs=tuple(_tensor(n, t) for n, t in graph.inputs.items() if n not in graph.initializers),
        outputs=tuple(_tensor(n, t) for n, t in graph.outputs.items()),
        nodes=graph.nodes,
        data_files=data_files,
    )


def _tensor(name: str, kind: ValueType) -> Tensor:
    return Tensor(name=name, dtype=kind.dtype, shape=kind.shape, text=kind.text)


def _not_onnx(path: Path, view: memoryview) -> ModelError:
    start = bytes(view[:32])
    hint = next((f": {text}" for at, magic, text in _OTHER_FORMATS if start[at : at + len(magic)] == magic), "")
    return NotOnnx(
        f"{path.name} is not an ONNX model{hint}",
        way_out="Export it to ONNX first (torch.onnx.export, tf2onnx, skl2onnx, onnxmltools).",
    )


def _external(path: Path, graph: Graph) -> tuple[Path, ...]:
    """The files of external data, once they are known to be there and beside the model."""
    found: list[Path] = []
    for location in sorted(graph.external):
        relative = PurePosixPath(location)
        if not location or relative.is_absolute() or ".." in relative.parts or "\\" in location:
            raise MissingData(
                f"{path.name} keeps weights at {location!r}, which is not beside the model",
                way_out="Save the external data in the model's own folder.",
            )
        file = path.parent / relative
        if not file.is_file() or not file.resolve().is_relative_to(path.parent.resolve()):
            raise MissingData(
                f"{path.name} keeps weights in {location!r}, and there is no such file in {str(path.parent)!r}",
                way_out="Copy the file beside the model, or save the model in one file.",
            )
        found.append(Path(relative))
    return tuple(found)
