"""The example: features of the new task from the device, a head trained on them, accuracy in each number format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from windtunnel_emulators.brainwave.numerics import Numerics
from windtunnel_emulators.brainwave.service.accelerated import Accelerated
from windtunnel_emulators.brainwave.service.settings import DEVICE, Settings
from windtunnel_emulators.brainwave.transfer.digits import new_task
from windtunnel_emulators.brainwave.transfer.train import FILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from windtunnel_emulators.brainwave.transfer.digits import Pictures

FORMATS = ("1s.5e.2m", "1s.5e.5m", "MSFP12", "MSFP16", "MXFP4_E2M1", "MXFP6_E2M3", "MXINT8")
_RIDGE = 1.0
_SHARPNESS = 10.0


@dataclass(frozen=True, slots=True)
class Head:
    """Ridge regression of the classes, which has one solution, as a matrix and a bias."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @classmethod
    def train(cls, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Head:
        """On rows of features."""
        wanted = np.eye(int(labels.max()) + 1)[labels]
        middle, offset = features.mean(axis=0), wanted.mean(axis=0)
        centred = features - middle
        square = centred @ centred.T + _RIDGE * np.eye(len(features))
        solved = np.asarray(np.linalg.solve(square, wanted - offset), np.float64)
        weights = centred.T @ solved
        return cls(weights, offset - middle @ weights)

    def accuracy(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """The share of rows whose largest score is at the label."""
        return float(((features @ self.weights + self.bias).argmax(axis=1) == labels).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number format."""

    name: str
    block: int | None
    transferred: float
    """The head was trained on the same device's features, as users of the service did."""
    moved: float
    """The head was trained on float32 features, before there was a device."""


def featurizer(numerics: Numerics, number_format: str | None) -> Accelerated:
    """The committed one, on the service's device."""
    settings = Settings(
        model_folder=Path(FILE).parent, device=DEVICE, numerics=numerics, number_format=number_format, threads=1
    )
    return Accelerated(FILE, settings)


def features(model: Accelerated, pictures: Pictures) -> NDArray[np.float64]:
    """One row for each picture."""
    found = model.compute(model.understand({"images": pictures.pixels}))["features"]
    return np.asarray(found, np.float64).reshape(len(pictures), -1)


def results() -> list[Result]:
    """Float32 first."""
    train, held_out = new_task()
    exact = featurizer(Numerics.FP32, None)
    first = Head.train(features(exact, train), train.labels)
    score = first.accuracy(features(exact, held_out), held_out.labels)
    found = [Result(name="float32", block=None, transferred=score, moved=score)]
    for name in FORMATS:
        model = featurizer(Numerics.BFP, name)
        there = features(model, held_out)
        head = Head.train(features(model, train), train.labels)
        found.append(
            Result(
                name=name,
                block=model.number.block,
                transferred=head.accuracy(there, held_out.labels),
                moved=first.accuracy(there, held_out.labels),
            )
        )
    return found


def pixels_alone() -> float:
    """The same head on the pixels themselves: what the featurizer is worth."""
    train, held_out = new_task()
    rows = [p.pixels.reshape(len(p), -1).astype(np.float64) for p in (train, held_out)]
    return Head.train(rows[0], train.labels).accuracy(rows[1], held_out.labels)


def classifier() -> onnx.ModelProto:
    """Featurizer and head as one model: what would be deployed. The head stays on the CPU."""
    train, _ = new_task()
    head = Head.train(features(featurizer(Numerics.BFP, None), train), train.labels)
    model = onnx.ModelProto.FromString(FILE.read_bytes())
    graph = model.graph
    graph.node.extend(
        [
            helper.make_node("Flatten", ["features"], ["row"], name="flatten"),
            helper.make_node("Gemm", ["row", "head", "head_bias"], ["scores"], name="head"),
            helper.make_node("Softmax", ["scores"], ["probabilities"], name="softmax", axis=1),
        ]
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array((head.weights * _SHARPNESS).astype(np.float32), "head"),
            numpy_helper.from_array((head.bias * _SHARPNESS).astype(np.float32), "head_bias"),
        ]
    )
    del graph.output[:]
    classes = head.bias.size
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]))
    return model
