"""The model's answers to published results, row by row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.lowering import INSTRUCTIONS
from windtunnel_emulators.brainwave.timing import closed, recurrent_programs
from windtunnel_emulators.brainwave.timing.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.timing.program import Program

MATRICES = {"GRU": 6, "LSTM": 8}
_RAN_AS = {2816: 2800}
"""306 native tiles do not hold 6 x 8 x 8 = 384; 7 x 7 they do, which is 2800, and the paper's own critical-path table
says 2800 for this row."""
_INTEL_MATRICES = {"gemv": 1, "rnn": 2, "gru": 6, "lstm": 8}
_INTEL_BATCH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published result and one answer."""

    name: str
    published: float
    model: float
    confidence: str

    @property
    def error_pct(self) -> float:
        """How much more the model says."""
        return 100 * (self.model / self.published - 1)


def mean_pct(rows: Sequence[Row]) -> float:
    """Of the absolute errors."""
    return sum(abs(row.error_pct) for row in rows) / len(rows)


def max_pct(rows: Sequence[Row]) -> float:
    """The largest absolute error."""
    return max(abs(row.error_pct) for row in rows)


def deepbench(*, chains: bool = False) -> tuple[Row, ...]:
    """Milliseconds of BW_S10."""
    device = load_device("BW_S10")
    found: list[Row] = []
    for entry in _table("deepbench.csv"):
        op, hidden, steps = entry["benchmark"], int(entry["hidden"]), int(entry["steps"])
        ran = _RAN_AS.get(hidden, hidden)
        if chains:
            program = recurrent_programs.lstm if op == "LSTM" else recurrent_programs.gru
            cycles = Engine(device).run(program(device, ran, ran, steps)).cycles
            ms = device.milliseconds(cycles) + device.chain_invoke_us.value / 1000
        else:
            step, _ = closed.step_cycles(device, MATRICES[op], ran, ran, INSTRUCTIONS[op])
            ms = device.milliseconds(step * steps) + device.invoke_us.value / 1000
        found.append(
            Row(
                name=f"{op} {hidden} x{steps}",
                published=float(entry["bw_s10_ms"]),
                model=ms,
                confidence=entry["confidence"],
            )
        )
    return tuple(found)


def intel(against: str = "tops_rtl") -> tuple[Row, ...]:
    """Cycles of Intel's open NPU; ``against`` is their RTL or, as ``tops_simulator``, their own simulator."""
    device = load_device("INTEL_S10NX")
    found: list[Row] = []
    for entry in _table("intel.csv"):
        kind, size, steps = entry["kind"], int(entry["size"]), int(entry["steps"])
        operations = 2 * _INTEL_BATCH * steps * _INTEL_MATRICES[kind] * size * size
        microseconds = operations / float(entry[against]) / 1e6
        found.append(
            Row(
                name=f"{kind.upper()} {size}" + (f" x{steps}" if steps > 1 else ""),
                published=microseconds * device.mhz.value,
                model=Engine(device).run(_intel_program(device, kind, size, steps)).cycles,
                confidence="A",
            )
        )
    return tuple(found)


def _intel_program(device: Device, kind: str, size: int, steps: int) -> Program:
    if kind == "gemv":
        return recurrent_programs.intel_gemv(device, size, size)
    if kind == "rnn":
        return recurrent_programs.intel_rnn(device, size, steps)
    if kind == "gru":
        return recurrent_programs.intel_gru(device, size, steps)
    return recurrent_programs.intel_lstm(device, size, steps)


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("windtunnel_emulators.brainwave.accuracy").joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
