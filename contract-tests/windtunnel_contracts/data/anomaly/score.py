"""Tells of each reading of a temperature sensor whether something is wrong with its machine.

``run`` takes the JSON that Microsoft's simulated temperature sensor sends, one reading or a list of them, and answers
one text for each: on IoT Edge each is one message. An answer names the time of its reading and no measured value, so
that what is measured stays where it is measured. With the environment variable ``ANOMALIES_ONLY`` set to ``true``,
readings in which nothing is wrong have no answer.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

THRESHOLD = 0.5


class Machine(TypedDict):
    temperature: float
    pressure: float


class Ambient(TypedDict):
    temperature: float
    humidity: float


class Reading(TypedDict):
    machine: Machine
    ambient: Ambient
    timeCreated: str


class _Model:
    """What ``init`` has loaded."""

    run: Callable[[object, dict[str, NDArray[np.float32]]], Sequence[NDArray[np.float32]]]
    anomalies_only = False


def init() -> None:
    """Load the model that is deployed with this script."""
    (file,) = Path(os.environ["AZUREML_MODEL_DIR"]).glob("**/*.onnx")
    # onnxruntime has no types.
    _Model.run = import_module("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"]).run
    _Model.anomalies_only = os.environ.get("ANOMALIES_ONLY", "").lower() == "true"


def run(raw_data: str) -> list[str]:
    """One text of JSON for each reading. Raises ``KeyError`` and ``ValueError`` for what is no reading."""
    given = cast("Reading | list[Reading]", json.loads(raw_data))
    readings = given if isinstance(given, list) else [given]
    if not readings:
        return []
    rows = [
        [
            reading["machine"]["temperature"],
            reading["machine"]["pressure"],
            reading["ambient"]["temperature"],
            reading["ambient"]["humidity"],
        ]
        for reading in readings
    ]
    (probabilities,) = _Model.run(None, {"readings": np.array(rows, np.float32)})
    return [
        json.dumps({"timeCreated": reading["timeCreated"], "anomaly": bool(p > THRESHOLD), "probability": round(p, 4)})
        for reading, p in zip(readings, probabilities[:, 0].astype(float).tolist(), strict=True)
        if p > THRESHOLD or not _Model.anomalies_only
    ]
