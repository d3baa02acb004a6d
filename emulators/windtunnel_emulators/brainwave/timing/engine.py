"""The chain-level engine: chains issue in order, units are in-order pipelines, streams are followed by their ends.

A stream is when its first and its last native vector are there; between them it is even. A unit takes ``cost`` cycles
for each vector. ``mv_mul`` may start once the columns it begins with are there, as its pass needs column j at j/columns
of the way, and it gives row i at i/rows of the way. An operand must have been written before the vector that meets it.
A step that repeats is run until its length no longer changes; the rest is that length times the steps that are left.

Intel's open NPU differs (``Kind.CHECK``): what was written is seen only when the whole of it was (tags), the
multiplier goes through all rows for a share of the columns before it takes the next, and one loader writes everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.devices import Kind
from windtunnel_emulators.brainwave.timing.program import Op, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.timing.program import Chain, Instruction, Program

_STEPS_LIMIT = 64
_EVEN = 1e-6
_KINDS = ("add", "multiply", "activation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One unit, busy for one instruction of a chain. Times in cycles."""

    unit: str
    chain: str
    op: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When the last write of a chain was done, and how long its multiplication waited for weights alone."""

    chain: str
    end: float
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the engine found."""

    cycles: float
    """From the first instruction to the last write, without the invocation."""
    step_cycles: float
    """Of a step in the steady state."""
    events: tuple[Event, ...]
    """Of the steps that were run one by one."""
    spans: tuple[Span, ...]
    """Of the same steps, chain by chain."""


@dataclass(slots=True)
class _Stream:
    first: float
    last: float


class Engine:
    """One device, empty at the start."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._rate = device.stream_cycles
        self._issue = device.issue_cycles.value
        self._batch = device.batch.whole
        self._whole = device.kind is Kind.CHECK
        self._lag = 1.0
        self._clock = 0.0
        self._free: dict[str, float] = {}
        self._written: dict[str, _Stream] = {}
        self._loaded: dict[str, float] = {}
        self._used: dict[str, float] = {}
        self._events: list[Event] = []
        self._spans: list[Span] = []
        self._waited = 0.0
        self.end = 0.0

    def run(self, program: Program) -> Run:
        """All steps of a program."""
        for piece in program.before:
            self._chain(piece)
        previous, length, even = self.end, 0.0, 0
        done = 0
        while done < program.steps:
            for piece in program.step:
                self._chain(piece)
            done += 1
            now = self.end - previous
            even = even + 1 if abs(now - length) < _EVEN else 0
            previous, length = self.end, now
            if even >= 2 or done >= _STEPS_LIMIT:
                break
        cycles = self.end + (program.steps - done) * length
        return Run(cycles=cycles, step_cycles=length, events=tuple(self._events), spans=tuple(self._spans))

    def _chain(self, piece: Chain) -> None:
        stream = _Stream(self._clock, self._clock)
        self._waited = 0.0
        unit = 0
        used: set[int] = set()
        for instruction in piece.instructions:
            self._clock += self._issue
            kind = kind_of(instruction.op)
            if kind >= 0:
                if kind in used:
                    unit += 1
                    used = set()
                used.add(kind)
                stream = self._operate(piece, instruction, stream, f"MFU{unit} {_KINDS[kind]}")
            elif instruction.op is Op.V_RD:
                stream = self._read(instruction)
            elif instruction.op is Op.MV_MUL:
                stream = self._multiply(piece, instruction, stream)
            elif instruction.op is Op.M_RD:
                self._load(piece, instruction)
            else:
                self._write(piece, instruction, stream)
        if piece.flush:
            self._clock = max(self._clock, self.end)
        self._spans.append(Span(chain=piece.name, end=self.end, waited=self._waited))

    def _read(self, instruction: Instruction) -> _Stream:
        source = self._written.get(instruction.operand)
        delay = self._device.read_cycles.value
        there = (source.last if self._whole else source.first) if source else 0.0
        first = max(self._clock, there) + delay
        span = (instruction.vectors * self._batch - 1) * self._rate
        return _Stream(first, max(first + span, source.last + delay if source else 0.0))

    def _load(self, piece: Chain, instruction: Instruction) -> None:
        # Double buffering: the half it goes to is free once what was there two loads ago has been used.
        start = max(self._free.get("DRAM", 0.0), self._used.get(instruction.operand, 0.0))
        end = start + instruction.occupancy
        self._free["DRAM"] = end
        self._loaded[piece.weights] = end
        self._note("DRAM", piece, instruction, start, end)

    def _multiply(self, piece: Chain, instruction: Instruction, stream: _Stream) -> _Stream:
        columns = instruction.columns
        busy = instruction.occupancy
        rows = max(1, instruction.vectors)
        late = 0.0 if self._whole else stream.last - busy * (columns - 1) / columns
        ready = max(stream.first, self._free.get("MVM", 0.0), late, self._clock)
        start = max(ready, self._loaded.get(piece.weights, 0.0))
        self._waited += start - ready
        end = start + busy
        self._free["MVM"] = end
        if instruction.operand:
            self._used[instruction.operand] = end
        self._note("MVM", piece, instruction, start, end)
        delay = self._device.matrix_cycles.value
        if self._whole:
            passes = -(-columns // self._device.engines.whole)
            first = start + busy * (passes - 1) / passes + delay
            return _Stream(first, max(end + delay, first + rows * self._batch * self._rate))
        return _Stream(start + busy / rows + delay, end + delay)

    def _operate(self, piece: Chain, instruction: Instruction, stream: _Stream, unit: str) -> _Stream:
        cost = self._rate if instruction.cost is None else instruction.cost
        operand = self._written.get(instruction.operand) if instruction.operand else None
        there = (operand.last if self._whole else operand.first) if operand else 0.0
        first = max(stream.first, self._free.get(unit, 0.0), there, self._clock)
        last = max(stream.last, first + (instruction.vectors * self._batch - 1) * cost, operand.last if operand else 0)
        self._free[unit] = last + cost
        self._note(unit, piece, instruction, first, last + cost)
        delay = self._device.operation_cycles.value
        return _Stream(first + delay, last + delay)

    def _write(self, piece: Chain, instruction: Instruction, stream: _Stream) -> None:
        delay = self._device.write_cycles.value
        first = max(stream.first, self._clock)
        last = max(stream.last, first)
        if self._whole:
            first = max(first, self._free.get("write", 0.0))
            last = max(stream.last, first + (instruction.vectors * self._batch - 1) * self._rate)
            self._free["write"] = last + self._rate
        done = _Stream(first + delay, last + delay)
        self._written[instruction.operand] = done
        self.end = max(self.end, done.last)
        self._note("write", piece, instruction, first, done.last)

    def _note(self, unit: str, piece: Chain, instruction: Instruction, start: float, end: float) -> None:
        self._events.append(Event(unit=unit, chain=piece.name, op=instruction.op.value, start=start, end=end))


def busy_cycles(events: Sequence[Event], unit: str) -> float:
    """Cycles that a unit was held."""
    return sum(event.end - event.start for event in events if event.unit == unit)
