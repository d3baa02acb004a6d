"""The chain engine: properties that hold whatever the fit is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.timing import recurrent_programs
from windtunnel_emulators.brainwave.timing.engine import Engine, busy_cycles
from windtunnel_emulators.brainwave.timing.program import Op, mfus_needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.timing.program import Program

    MakeProgram = Callable[[Device, int, int, int], Program]

S10 = load_device("BW_S10")
sizes = st.integers(1, 2800)
programs = st.sampled_from([recurrent_programs.lstm, recurrent_programs.gru])


def test_programs_have_the_published_number_of_instructions() -> None:
    assert recurrent_programs.lstm(S10, 1024, 1024, 1).instructions == 47
    assert recurrent_programs.gru(S10, 1024, 1024, 1).instructions == 38


@given(programs, sizes, st.integers(1, 40))
def test_a_step_is_never_shorter_than_what_it_needs(program: MakeProgram, hidden: int, steps: int) -> None:
    made = program(S10, hidden, hidden, steps)
    run = Engine(S10).run(made)
    issue = made.instructions * S10.issue_cycles.value
    occupancy = sum(i.occupancy for piece in made.step for i in piece.instructions)
    assert run.cycles >= steps * issue - 1e-6
    assert run.cycles >= steps * occupancy - 1e-6


@given(programs, sizes)
def test_units_do_one_thing_at_a_time(program: MakeProgram, hidden: int) -> None:
    run = Engine(S10).run(program(S10, hidden, hidden, 6))
    for unit in {event.unit for event in run.events} - {"write"}:
        spans = sorted((event.start, event.end) for event in run.events if event.unit == unit)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(spans)), unit
    assert busy_cycles(run.events, "MVM") <= run.cycles


@given(programs, sizes, st.integers(100, 5000))
def test_the_steady_state_is_what_running_every_step_gives(program: MakeProgram, hidden: int, steps: int) -> None:
    run = Engine(S10).run(program(S10, hidden, hidden, steps))
    longer = Engine(S10).run(program(S10, hidden, hidden, steps + 100))
    assert longer.cycles - run.cycles == pytest.approx(100 * run.step_cycles)


def test_slower_parts_never_make_a_step_faster() -> None:
    base = Engine(S10).run(recurrent_programs.gru(S10, 1024, 1024, 20)).cycles
    for name in ("issue_cycles", "matrix_cycles", "operation_cycles", "write_cycles", "read_cycles"):
        quantity = getattr(S10, name)
        slower = replace(S10, **{name: replace(quantity, value=quantity.value * 1.5)})
        assert Engine(slower).run(recurrent_programs.gru(slower, 1024, 1024, 20)).cycles >= base


def test_units_of_a_chain() -> None:
    assert mfus_needed([]) == 0
    assert mfus_needed([Op.VV_MUL, Op.VV_ADD, Op.V_RELU]) == 1
    assert mfus_needed([Op.VV_ADD, Op.VV_MAX]) == 2
    assert mfus_needed([Op.MV_MUL, Op.V_TANH]) == 1
