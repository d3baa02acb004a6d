"""The anomaly example: made again it is the committed file, it is as good as its README says, its script answers."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto

import windtunnel_contracts
from windtunnel_contracts.data.anomaly import score, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(windtunnel_contracts.__file__).parent / "data" / "anomaly"
MODEL = FOLDER / "anomaly.onnx"


def reading(temperature: float, *, pressure: float | None = None, ambient: float = 21.0) -> dict[str, Any]:
    """As the sensor sends it; the pressure is what the temperature gives."""
    given = 1 + (temperature - 21) * 9 / 79 if pressure is None else pressure
    return {
        "machine": {"temperature": temperature, "pressure": given},
        "ambient": {"temperature": ambient, "humidity": 25},
        "timeCreated": f"2018-05-07T00:00:00.{round(temperature)}Z",
    }


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(FOLDER))
    monkeypatch.delenv("ANOMALIES_ONLY", raising=False)
    score.init()


def test_making_it_again_gives_the_committed_files() -> None:
    trained = train.train()
    assert trained.model.SerializeToString() == MODEL.read_bytes()
    with np.load(FOLDER / "heldout.npz") as archive:
        np.testing.assert_array_equal(archive["readings"], trained.readings)
        np.testing.assert_array_equal(archive["anomalies"], trained.anomalies)


def test_it_is_as_good_as_its_readme_says() -> None:
    with np.load(FOLDER / "heldout.npz") as archive:
        readings, anomalies = archive["readings"], archive["anomalies"].astype(bool)
    session: Any = import_module("onnxruntime").InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"readings": readings})[0][:, 0]
    right = int(((found > score.THRESHOLD) == anomalies).sum())
    assert right / len(readings) >= 0.97
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert f"{right} of {len(readings):,}, {right / len(readings):.1%}".replace("%", " %") in readme
    assert f"{int(anomalies.sum())} of them are anomalies" in readme
    assert f"{MODEL.stat().st_size:,} bytes" in readme
    assert ModelProto.FromString(MODEL.read_bytes()).ir_version == 8


@pytest.mark.usefixtures("script")
def test_the_script_finds_each_kind_of_fault() -> None:
    given = [reading(50), reading(95), reading(50, pressure=1.5), reading(50, ambient=30), reading(23)]
    answers = [json.loads(text) for text in score.run(json.dumps(given))]
    assert [answer["anomaly"] for answer in answers] == [False, True, True, True, False]
    assert [answer["timeCreated"] for answer in answers] == [one["timeCreated"] for one in given]
    assert score.run(json.dumps(given[1])) == [score.run(json.dumps(given))[1]], "one reading needs no list"


@pytest.mark.usefixtures("script")
def test_answers_hold_nothing_that_was_measured() -> None:
    (answer,) = score.run(json.dumps(reading(95.4321)))
    assert set(json.loads(answer)) == {"timeCreated", "anomaly", "probability"}
    assert "95.4321" not in answer


def test_anomalies_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(FOLDER))
    monkeypatch.setenv("ANOMALIES_ONLY", "true")
    score.init()
    assert score.run(json.dumps(reading(50))) == []
    assert len(score.run(json.dumps([reading(50), reading(95)]))) == 1
    assert score.run("[]") == []


@pytest.mark.usefixtures("script")
def test_what_is_no_reading_is_an_error() -> None:
    with pytest.raises(KeyError):
        score.run('{"machine": {}}')
