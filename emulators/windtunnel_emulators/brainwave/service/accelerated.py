"""``Accelerated``: a model on an emulated device: what it takes, what it computes, how long it would take.

The parts of the model before and behind the device's own run in float32, as on the service's CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from windtunnel_emulators.brainwave.analysis import Analysis, analyse, choose_device
from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.diagnostics import Severity
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.numerics.emulation import Numerics, emulate
from windtunnel_emulators.brainwave.numerics.formats import device_format, preset
from windtunnel_emulators.brainwave.numerics.running import Session
from windtunnel_emulators.brainwave.partition import Place
from windtunnel_emulators.brainwave.reading import read_graph
from windtunnel_emulators.brainwave.service.images import preprocessed
from windtunnel_emulators.brainwave.service.refusals import Refused
from windtunnel_emulators.brainwave.service.signature import Signature, fitted
from windtunnel_emulators.brainwave.timing.timeline import surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat
    from windtunnel_emulators.brainwave.service.settings import Settings
    from windtunnel_emulators.brainwave.service.signature import Input

_SMALL_MACS = 20_000_000
"""Below this, handing work to other threads takes longer than the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request, understood: rows for the model, and how often the device would run for them."""

    inputs: Mapping[str, NDArray[np.generic]]
    runs: int
    one_by_one: bool
    """The model takes one row at a time."""


class Accelerated:
    """Any number of threads may use one. Raises ``BadModel`` for what the device does not run."""

    def __init__(self, path: Path, settings: Settings) -> None:
        graph = read_graph(path)
        device = choose_device(graph) if settings.device == "auto" else load_device(settings.device)
        self.analysis = analyse(graph, device, around=surroundings().with_rtt(settings.network_ms))
        if not self.analysis.fits:
            raise _does_not_fit(self.analysis)
        self.number: BlockFormat = (
            preset(settings.number_format)
            if settings.number_format is not None
            else device_format(
                mantissa_bits=device.mantissa_bits.whole,
                exponent_bits=device.exponent_bits.whole,
                native_dim=device.native_dim.whole,
            )
        )
        on_device = {
            node.outputs[0]
            for segment in self.analysis.partition.segments
            if segment.place is Place.FPGA
            for node in segment.nodes
        }
        self.emulated = emulate(_loaded(path), self.number, settings.numerics, on_device=on_device)
        macs = sum(time.layer.macs for time in self.analysis.times())
        threads = settings.threads or (1 if macs < _SMALL_MACS else None)
        self._session = Session(self.emulated.model, threads=threads)
        self.signature = Signature.of(self._session.inputs, self._session.outputs)
        self._order = settings.order
        self._scaling = np.float32(settings.scaling)
        self.numerics: Numerics = settings.numerics

    def understand(self, tensors: Mapping[str, NDArray[np.generic] | list[bytes]]) -> Work:
        """Raises ``Refused`` for inputs that the model does not take."""
        named = self.signature.named(tensors)
        inputs: dict[str, NDArray[np.generic]] = {}
        for key, declared in named.items():
            value = tensors[key]
            if isinstance(value, list):
                value = self._pictures(value, declared, key)
            inputs[declared.name] = fitted(value, declared, key)
        rows = {array.shape[0] for array in inputs.values() if array.ndim}
        first = [declared.shape[0] if declared.shape else 1 for declared in self.signature.inputs]
        one_by_one = all(size == 1 for size in first) and rows not in ({1}, set())
        batched = one_by_one or all(size is None for size in first)
        if batched and len(rows) > 1:
            raise Refused(f"the inputs have different numbers of rows: {', '.join(map(str, sorted(rows)))}")
        runs = next(iter(rows), 1) if batched else 1
        if runs == 0:
            raise Refused("the request has no rows")
        return Work(inputs=inputs, runs=runs, one_by_one=one_by_one)

    def _pictures(self, strings: list[bytes], declared: Input, key: str) -> NDArray[np.generic]:
        side = declared.picture_side
        if side is None:
            raise Refused(
                f"input {key!r} has strings, and the model takes {declared.text}, which is no colour picture",
                way_out="Send its numbers as DT_FLOAT.",
            )
        if not strings:
            raise Refused(f"input {key!r} has no pictures")
        pictures = np.stack([preprocessed(content, side=side) for content in strings])
        if self._order == "BGR":
            pictures = pictures[..., ::-1]
        return np.ascontiguousarray(pictures * self._scaling)

    def compute(self, work: Work) -> dict[str, NDArray[np.generic]]:
        """The outputs, by the model's names."""
        if not work.one_by_one:
            return self._session.run(work.inputs)
        rows = [
            self._session.run({name: array[i : i + 1] for name, array in work.inputs.items()}) for i in range(work.runs)
        ]
        return {name: np.concatenate([np.atleast_1d(row[name]) for row in rows]) for name in rows[0]}

    def warm_up(self) -> None:
        """Run once, on zeros: the first run of a session is slower than the others."""
        zeros = {
            i.name: np.zeros([1 if d is None else d for d in i.shape], np.dtype(i.dtype)) for i in self.signature.inputs
        }
        self._session.run(zeros)


def _loaded(path: Path) -> onnx.ModelProto:
    return onnx.load_model(str(path))  # pyright: ignore[reportUnknownMemberType]  # PathLike of onnx


def _does_not_fit(analysis: Analysis) -> BadModel:
    errors = [d for d in analysis.diagnostics if d.severity is Severity.ERROR]
    listed = "; ".join(f"{d.code.name} ({d.code.value}) {d.subject}: {d.message}".strip() for d in errors[:5])
    return BadModel(
        f"{analysis.graph.name} does not fit {analysis.device.name}: {listed}", way_out=errors[0].suggestion
    )
