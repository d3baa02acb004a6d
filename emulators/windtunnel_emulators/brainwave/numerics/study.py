"""What fewer mantissa bits do to a model: every layer against float32, and the model's own answers against labels.

A layer's error has all that came before it in it: its input is the emulated one, as on the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.numerics.emulation import PRODUCTS, Numerics, emulate
from windtunnel_emulators.brainwave.numerics.formats import device_format
from windtunnel_emulators.brainwave.numerics.running import Session
from windtunnel_emulators.brainwave.partition import Place, partition
from windtunnel_emulators.brainwave.reading import graph_of
from windtunnel_emulators.brainwave.report.precision import PrecisionRow, PrecisionStudy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from windtunnel_emulators.brainwave.devices import Device

    Arrays = Mapping[str, NDArray[np.generic]]

_AT_ONCE = 32
_MOST_ROWS = 512
_RANDOM_ROWS = 4
_SEED = 2018
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def precision_study(
    model: Path,
    *,
    device: Device,
    bits: Sequence[int],
    data: Path | None,
    shapes: Mapping[str, Sequence[int]],
) -> PrecisionStudy:
    """``data`` is an .npz with the inputs by name (rows along the first axis) and, if any, ``labels``.

    Without data the inputs are random, which says little of accuracy. Raises ``BadOption`` for data that do not fit.
    """
    graph = graph_of(_load(model), model.stem, shapes)
    on_device = {
        node.outputs[0]
        for segment in partition(graph).segments
        if segment.place is Place.FPGA
        for node in segment.nodes
    }
    exact = _load(model)
    names = {
        node.output[0]: node.name or node.output[0]
        for node in exact.graph.node
        if node.op_type in PRODUCTS and node.output[0] in on_device
    }
    _expose(exact, names)
    number = device_format(
        mantissa_bits=device.mantissa_bits.whole,
        exponent_bits=device.exponent_bits.whole,
        native_dim=device.native_dim.whole,
    )
    sessions: dict[int, Session] = {}
    for width in bits:
        copied = type(exact)()
        copied.CopyFrom(exact)
        sessions[width] = Session(emulate(copied, number.with_mantissa(width), Numerics.BFP, on_device=on_device).model)
    reference = Session(exact)
    last = graph.outputs[0]
    read = _Data.read(data, reference, {name: graph.shape(name) for name in graph.inputs if name in graph.tensors})
    sums = {(name, width): _Sums() for name in (*names, last) for width in bits}
    right = dict.fromkeys((0, *bits), 0)
    for inputs, labels in read.batches():
        wanted = reference.run(inputs)
        right[0] += _right(wanted[last], labels)
        for width, session in sessions.items():
            found = session.run(inputs)
            right[width] += _right(found[last], labels)
            for name in (*names, last):
                sums[name, width].add(wanted[name], found[name])
    shown = {**names, last: ""}
    rows = [
        PrecisionRow(layer=shown[name], mantissa_bits=width, snr_db=total.snr_db, cosine=total.cosine)
        for (name, width), total in sums.items()
    ]
    counted = read.rows if read.labels is not None else 0
    return PrecisionStudy(
        rows=rows,
        metric="accuracy" if counted else None,
        fp32=right[0] / counted if counted else None,
        by_bits={width: right[width] / counted for width in bits} if counted else {},
        note=read.note,
    )


def _load(path: Path) -> ModelProto:
    return onnx.load_model(str(path))  # pyright: ignore[reportUnknownMemberType]  # PathLike of onnx


def _expose(model: ModelProto, names: Mapping[str, str]) -> None:
    """Make outputs of the layers' values."""
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in there
    )


@dataclass(slots=True)
class _Sums:
    """Of one layer over all rows."""

    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    other: float = 0.0

    def add(self, wanted: NDArray[np.generic], found: NDArray[np.generic]) -> None:
        exact, emulated = np.asarray(wanted, np.float64).ravel(), np.asarray(found, np.float64).ravel()
        difference = exact - emulated
        self.signal += float(exact @ exact)
        self.noise += float(difference @ difference)
        self.product += float(exact @ emulated)
        self.other += float(emulated @ emulated)

    @property
    def snr_db(self) -> float:
        """Infinite when nothing differs."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def cosine(self) -> float:
        """1 when both are zero."""
        lengths = math.sqrt(self.signal * self.other)
        return self.product / lengths if lengths else float(self.signal == self.other)


def _right(output: NDArray[np.generic], labels: NDArray[np.generic] | None) -> int:
    if labels is None:
        return 0
    scores = np.asarray(output, np.float64).reshape(len(labels), -1)
    return int((scores.argmax(axis=1) == labels).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """Rows for the model."""

    inputs: Arrays
    labels: NDArray[np.generic] | None
    at_once: int
    note: str

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.inputs.values())))

    def batches(self) -> Iterator[tuple[Arrays, NDArray[np.generic] | None]]:
        for start in range(0, self.rows, self.at_once):
            part = slice(start, start + self.at_once)
            labels = self.labels[part] if self.labels is not None else None
            yield {name: array[part] for name, array in self.inputs.items()}, labels

    @classmethod
    def read(cls, data: Path | None, session: Session, shapes: Mapping[str, tuple[int, ...]]) -> _Data:
        firsts = {shape[0] for _, shape in session.inputs.values() if shape}
        batched = all(not isinstance(first, int) for first in firsts)
        whole = next((first for first in firsts if isinstance(first, int)), 1)
        at_once = _AT_ONCE if batched else whole
        if data is None:
            count = _RANDOM_ROWS if batched or whole == 1 else whole
            return cls(
                inputs=_random(session, shapes, count),
                labels=None,
                at_once=at_once,
                note=f"random inputs ({count} rows, standard normal): widths compare, accuracy cannot be told",
            )
        try:
            with np.load(data, allow_pickle=False) as archive:
                content: dict[str, NDArray[np.generic]] = {name: archive[name] for name in archive.files}
        except (OSError, ValueError) as problem:
            raise BadOption(
                f"{data.name} is no readable .npz: {problem}", way_out="Save it with numpy.savez(...)."
            ) from problem
        labels = content.pop("labels", None)
        return cls(
            inputs=_checked(content, labels, session, data.name),
            labels=None if labels is None else labels[:_MOST_ROWS],
            at_once=at_once,
            note=f"{data.name}, {min(_MOST_ROWS, len(next(iter(content.values()))))} rows",
        )


def _random(session: Session, shapes: Mapping[str, tuple[int, ...]], count: int) -> Arrays:
    random = np.random.default_rng(_SEED)
    inputs: dict[str, NDArray[np.generic]] = {}
    for name, (kind, shape) in session.inputs.items():
        known = shapes.get(name, tuple(d if isinstance(d, int) else 1 for d in shape))
        values = random.standard_normal((count, *known[1:]))
        inputs[name] = values.astype(_TYPES.get(kind, np.float32))
    return inputs


def _checked(
    content: Arrays, labels: NDArray[np.generic] | None, session: Session, source: str
) -> dict[str, NDArray[np.generic]]:
    checked: dict[str, NDArray[np.generic]] = {}
    for name, (kind, shape) in session.inputs.items():
        if name not in content:
            raise BadOption(
                f"{source} has no array {name!r}",
                way_out=f"It has {', '.join(content)}; give the model's inputs by name.",
            )
        array = content[name]
        if array.ndim != len(shape) or any(
            isinstance(own, int) and own != size for own, size in zip(shape[1:], array.shape[1:], strict=True)
        ):
            raise BadOption(f"{name!r} in {source} has the shape {list(array.shape)}, the model takes {list(shape)}")
        checked[name] = array[:_MOST_ROWS].astype(_TYPES.get(kind, np.float32))
    counts = {len(array) for array in checked.values()}
    if labels is not None:
        counts.add(min(_MOST_ROWS, len(labels)))
    if len(counts) != 1 or 0 in counts:
        raise BadOption(f"the arrays in {source} have different numbers of rows, or none: {sorted(counts)}")
    return checked
