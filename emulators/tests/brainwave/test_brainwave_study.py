"""The precision study: layers and answers at several widths, against data with labels or random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.numerics.study import precision_study
from windtunnel_emulators.brainwave.transfer import example
from windtunnel_emulators.brainwave.transfer.digits import new_task

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = load_device("BW_CNN_A10")
BITS = (2, 5, 7)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "digits.onnx"
    path.write_bytes(example.classifier().SerializeToString())
    return path


def archive(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "data.npz"
    made: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(path, **made)
    return path


def test_labels_give_an_accuracy_for_each_width_and_more_bits_are_nearer(model: Path, tmp_path: Path) -> None:
    _, held_out = new_task()
    data = archive(tmp_path, images=held_out.pixels, labels=held_out.labels)
    study = precision_study(model, device=DEVICE, bits=BITS, data=data, shapes={})
    assert study.metric == "accuracy"
    assert study.fp32 is not None
    assert study.fp32 > 0.95
    assert abs(study.by_bits[7] - study.fp32) <= 0.01
    assert {row.layer for row in study.rows} == {"conv1", "conv2", ""}
    for layer in ("conv1", "conv2", ""):
        noise = {row.mantissa_bits: row.snr_db for row in study.rows if row.layer == layer}
        assert noise[2] < noise[5] < noise[7]
        # Each bit of mantissa halves the error: 6 dB.
        assert 6 * 2 - 5 < noise[7] - noise[5] < 6 * 2 + 5
    assert "448 rows" in study.note


def test_without_data_widths_compare_and_accuracy_is_not_told(model: Path) -> None:
    study = precision_study(model, device=DEVICE, bits=BITS, data=None, shapes={})
    assert (study.metric, study.fp32, dict(study.by_bits)) == (None, None, {})
    assert "random" in study.note
    assert all(0.5 < row.cosine <= 1 for row in study.rows)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pixels": np.zeros((2, 1, 16, 16))}, "no array 'images'"),
        ({"images": np.zeros((2, 1, 8, 8))}, "the shape"),
        ({"images": np.zeros((2, 1, 16, 16)), "labels": [1]}, "different numbers of rows"),
        ({"images": np.zeros((0, 1, 16, 16))}, "or none"),
    ],
)
def test_data_that_do_not_fit_are_refused(model: Path, tmp_path: Path, arrays: dict[str, object], words: str) -> None:
    with pytest.raises(BadOption, match=words):
        precision_study(model, device=DEVICE, bits=BITS, data=archive(tmp_path, **arrays), shapes={})


def test_a_file_that_is_no_archive_is_refused(model: Path) -> None:
    with pytest.raises(BadOption, match="no readable"):
        precision_study(model, device=DEVICE, bits=BITS, data=model, shapes={})
