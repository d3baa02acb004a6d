"""One recurrent layer, as DeepBench has it: as many inputs as hidden units, batch 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.topologies.builder import Builder

if TYPE_CHECKING:
    import onnx

_GATES = {"GRU": 3, "LSTM": 4}


def recurrent(op: str, hidden: int, steps: int) -> onnx.ModelProto:
    """``op`` is GRU or LSTM."""
    b = Builder(f"{op.lower()}_{hidden}_{steps}")
    rows = _GATES[op] * hidden
    parameters = [b.weights("W", 1, rows, hidden), b.weights("R", 1, rows, hidden), b.weights("B", 1, 2 * rows)]
    y = b.node(op, ["x", *parameters], op, hidden_size=hidden)
    return b.model([("x", [steps, 1, hidden])], y, [steps, 1, 1, hidden])
