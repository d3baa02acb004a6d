"""The example of transfer learning: its document is what the command prints, and the whole classifier is served."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from windtunnel_emulators.brainwave.service.accelerated import Accelerated
from windtunnel_emulators.brainwave.service.settings import Settings
from windtunnel_emulators.brainwave.transfer import example
from windtunnel_emulators.brainwave.transfer.digits import new_task
from windtunnel_emulators.brainwave.transfer.document import transfer_document

DOCUMENT = (
    next(p for p in Path(__file__).parents if p.name == "emulators").parent / "docs" / "fpga-transfer-learning.md"
)
_PERCENT = re.compile(r"(\d+\.\d) %")


def test_the_document_is_what_the_command_prints_to_half_a_percent() -> None:
    made, there = transfer_document(), DOCUMENT.read_text("utf-8")
    assert _PERCENT.sub("%", made) == _PERCENT.sub("%", there)
    now, then = (np.array([float(n) for n in _PERCENT.findall(text)]) for text in (made, there))
    assert np.abs(now - then).max() <= 0.5


def test_the_devices_numbers_cost_at_most_one_percent_and_the_featurizer_is_worth_something() -> None:
    found = {row.name: row for row in example.results()}
    assert found["float32"].transferred - found["1s.5e.5m"].transferred <= 0.01
    assert found["float32"].transferred > example.pixels_alone() + 0.02


def test_featurizer_and_head_are_one_model_that_is_served(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(example.classifier().SerializeToString())
    model = Accelerated(path, Settings(model_folder=tmp_path))
    _, held_out = new_task()
    found = model.compute(model.understand({"images": held_out.pixels}))["probabilities"]
    accuracy = (np.asarray(found, np.float64).argmax(axis=1) == held_out.labels).mean()
    assert accuracy == pytest.approx(next(r for r in example.results() if r.name == "1s.5e.5m").transferred, abs=0.01)
    assert model.emulated.rounded == ("conv1", "conv2")  # the head is the CPU's
