"""The digits example: made again it is the committed file, and served it is as good as its README says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import ModelProto

import windtunnel_contracts
from windtunnel_contracts.data.digits import train
from windtunnel_contracts.digits import Digits

if TYPE_CHECKING:
    from tests.scoring.conftest import Apps

FOLDER = Path(windtunnel_contracts.__file__).parent / "data" / "digits"
MODEL = FOLDER / "digits.onnx"


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits.load()


def test_making_it_again_gives_the_committed_file() -> None:
    trained = train.train()
    assert trained.model.SerializeToString() == MODEL.read_bytes()
    with np.load(FOLDER / "heldout.npz") as archive:
        np.testing.assert_array_equal(archive["pixels"], trained.pixels)
        np.testing.assert_array_equal(archive["labels"], trained.labels)


def test_it_is_as_good_as_its_readme_says(digits: Digits) -> None:
    labels = digits.labels
    right = int((digits.expected(digits.pixels).argmax(axis=1) == labels).sum())
    assert right / len(labels) >= 0.95
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert f"{right} of {len(labels)}, {right / len(labels):.1%}".replace("%", " %") in readme
    assert f"{MODEL.stat().st_size:,} bytes" in readme
    assert digits.pixels.shape == (360, 64)


def test_it_is_small_and_old_enough() -> None:
    assert MODEL.stat().st_size < 200_000
    model = ModelProto.FromString(MODEL.read_bytes())
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)


async def test_served_it_answers_exactly_what_onnxruntime_says(apps: Apps, digits: Digits) -> None:
    client = apps.of_model(MODEL.read_bytes())
    reply = await client.score({"data": digits.pixels.tolist()})
    np.testing.assert_array_equal(np.array(json.loads(reply.body), np.float32), digits.expected(digits.pixels))
