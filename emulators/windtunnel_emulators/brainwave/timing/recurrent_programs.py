"""The programs of recurrent layers: Brainwave's LSTM (47 instructions in a step) and GRU (38), as ISCA 2018 lists them,
and the shapes of chains that Intel's compiler makes for its open NPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.timing.program import Chain, Instruction, Op, Program, chain

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.devices import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One matrix of a layer in native vectors."""

    rows: int
    columns: int
    occupancy: float


def matrix(device: Device, inputs: int, outputs: int) -> Shape:
    """How a matrix lies on the device. Brainwave spreads all tiles over its engines; Intel's design takes one row of
    DPEs at a time, each engine a share of the columns."""
    native = device.native_dim.whole
    rows, columns = ceil(outputs / native), ceil(inputs / native)
    passes = (
        rows * ceil(columns / device.engines.whole) if device.batch.whole > 1 else rows * columns / device.engines.value
    )
    return Shape(rows=rows, columns=columns, occupancy=passes * device.stream_cycles)


class _Writer:
    """Instructions whose vectors are those of the layer's state."""

    def __init__(self, x: Shape, h: Shape) -> None:
        self._x, self._h = x, h

    def _of(self, op: Op, operand: str = "") -> Instruction:
        return Instruction(op=op, operand=operand, vectors=self._h.rows)

    def read(self, operand: str, *, of_input: bool = False) -> Instruction:
        return Instruction(op=Op.V_RD, operand=operand, vectors=self._x.columns if of_input else self._h.columns)

    def write_input(self, operand: str) -> Instruction:
        return Instruction(op=Op.V_WR, operand=operand, vectors=self._x.columns)

    def multiply(self, *, of_input: bool = False) -> Instruction:
        at = self._x if of_input else self._h
        return Instruction(op=Op.MV_MUL, vectors=at.rows, columns=at.columns, occupancy=at.occupancy)

    def write(self, operand: str) -> Instruction:
        return self._of(Op.V_WR, operand)

    def add(self, operand: str) -> Instruction:
        return self._of(Op.VV_ADD, operand)

    def subtract(self, operand: str) -> Instruction:
        return self._of(Op.VV_A_SUB_B, operand)

    def times(self, operand: str) -> Instruction:
        return self._of(Op.VV_MUL, operand)

    def sigmoid(self) -> Instruction:
        return self._of(Op.V_SIGM)

    def tanh(self) -> Instruction:
        return self._of(Op.V_TANH)


def lstm(device: Device, inputs: int, hidden: int, steps: int) -> Program:
    """Four gates: the input's share first, then the state's share and the element-wise part."""
    w = _Writer(matrix(device, inputs, hidden), matrix(device, hidden, hidden))
    chains: list[Chain] = [chain("x", w.read("net", of_input=True), w.write_input("x"))]
    chains += [
        chain(f"W{g} x", w.read("x", of_input=True), w.multiply(of_input=True), w.add("bias"), w.write(f"x{g}"))
        for g in ("f", "i", "o", "c")
    ]
    start = (w.read("h"), w.multiply())
    chains += [
        chain("forget gate", *start, w.add("xf"), w.sigmoid(), w.times("c'"), w.write("kept")),
        chain("input gate", *start, w.add("xi"), w.sigmoid(), w.write("i")),
        chain("output gate", *start, w.add("xo"), w.sigmoid(), w.write("o")),
        chain("cell", *start, w.add("xc"), w.tanh(), w.times("i"), w.add("kept"), w.write("c'"), w.write("c")),
        chain("state", w.read("c"), w.tanh(), w.times("o"), w.write("h"), w.write("out")),
    ]
    return Program(name="LSTM", step=tuple(chains), steps=steps)


def gru(device: Device, inputs: int, hidden: int, steps: int) -> Program:
    """Three gates; the candidate's matrix waits for the reset gate, which makes the step's dependency longest."""
    w = _Writer(matrix(device, inputs, hidden), matrix(device, hidden, hidden))
    chains: list[Chain] = [chain("x", w.read("net", of_input=True), w.write_input("x"))]
    chains += [
        chain(f"W{g} x", w.read("x", of_input=True), w.multiply(of_input=True), w.add("bias"), w.write(f"x{g}"))
        for g in ("r", "z", "c")
    ]
    start = (w.read("h"), w.multiply())
    chains += [
        chain("reset gate", *start, w.add("xr"), w.sigmoid(), w.times("h'"), w.write("rh")),
        chain("update gate", *start, w.add("xz"), w.sigmoid(), w.write("z"), w.write("z'")),
        chain("kept", w.read("ones"), w.subtract("z'"), w.times("h'"), w.write("kept")),
        chain(
            "state", w.read("rh"), w.multiply(), w.add("xc"), w.tanh(), w.times("z"), w.add("kept"), w.write("h"),
            w.write("h'"),
        ),
    ]  # fmt: skip
    return Program(name="GRU", step=tuple(chains), steps=steps)


def intel_gemv(device: Device, inputs: int, outputs: int) -> Program:
    """A load, and one chain."""
    at = matrix(device, inputs, outputs)
    w = _Writer(at, at)
    return Program(
        name="GEMV",
        step=(
            chain("x", w.read("net", of_input=True), w.write_input("x")),
            chain("W x", w.read("x", of_input=True), w.multiply(of_input=True), w.write("out")),
        ),
    )


def intel_rnn(device: Device, size: int, steps: int) -> Program:
    """One matrix of the input, one of the state; the next input is loaded between them."""
    at = matrix(device, size, size)
    w = _Writer(at, at)
    load = chain("x", w.read("net", of_input=True), w.write_input("x"))
    step = (
        chain("W x", w.read("x", of_input=True), w.multiply(of_input=True), w.write("wx")),
        load,
        chain("state", w.read("h"), w.multiply(), w.add("wx"), w.tanh(), w.write("h")),
    )
    return Program(name="RNN", step=step, steps=steps, before=(load,))


def intel_gru(device: Device, size: int, steps: int) -> Program:
    """Nine chains and a load in each step."""
    at = matrix(device, size, size)
    w = _Writer(at, at)
    load = chain("x", w.read("net", of_input=True), w.write_input("x"))
    start = (w.read("h"), w.multiply())
    step = (
        *(chain(f"W{g} x", w.read("x"), w.multiply(of_input=True), w.write(f"x{g}")) for g in ("z", "r", "c")),
        load,
        chain("update gate", *start, w.add("xz"), w.sigmoid(), w.write("z"), w.write("z'")),
        chain("kept", w.read("ones"), w.subtract("z'"), w.times("h'"), w.write("kept")),
        chain("reset gate", *start, w.add("xr"), w.sigmoid(), w.times("h'"), w.write("rh")),
        chain("candidate", w.read("rh"), w.multiply(), w.add("xc"), w.tanh(), w.write("c")),
        chain("state", w.read("c"), w.times("z"), w.add("kept"), w.write("h"), w.write("h'")),
    )
    return Program(name="GRU", step=step, steps=steps, before=(load,))


def intel_lstm(device: Device, size: int, steps: int) -> Program:
    """Eleven chains and a load in each step."""
    at = matrix(device, size, size)
    w = _Writer(at, at)
    load = chain("x", w.read("net", of_input=True), w.write_input("x"))
    start = (w.read("h"), w.multiply())
    step = (
        *(chain(f"W{g} x", w.read("x"), w.multiply(of_input=True), w.write(f"x{g}")) for g in ("f", "c", "i", "o")),
        load,
        chain("forget gate", *start, w.add("xf"), w.sigmoid(), w.write("f")),
        chain("input gate", *start, w.add("xi"), w.sigmoid(), w.write("i")),
        chain("output gate", *start, w.add("xo"), w.sigmoid(), w.write("o")),
        chain("candidate", *start, w.add("xc"), w.tanh(), w.times("i"), w.write("new")),
        chain("cell", w.read("c"), w.times("f"), w.add("new"), w.write("c")),
        chain("state", w.read("c"), w.tanh(), w.times("o"), w.write("h")),
    )
    return Program(name="LSTM", step=step, steps=steps, before=(load,))
