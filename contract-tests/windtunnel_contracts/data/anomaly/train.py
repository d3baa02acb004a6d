"""Makes ``anomaly.onnx`` and ``heldout.npz`` from a simulated machine: ``python train.py``.

The machine is that of Microsoft's simulated temperature sensor, warming up again and again; to some of its readings a
fault is added. A network of one hidden layer whose first weights are random and fixed, and whose second are ridge
regression, tells them apart. That has one solution, and weights are rounded far above the differences between
processors and libraries, so that everybody who runs it gets the committed file, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("machine_temperature", "machine_pressure", "ambient_temperature", "ambient_humidity")
RUNS, READINGS = 60, 200
"""How often the machine warms up, and how many readings are taken each time."""
HELD_OUT = 5
"""Runs that are not trained on."""
HOTTEST = 85.0
"""The machine must not be hotter, in degrees Celsius."""
LEAST_OFF, MOST_OFF = 0.8, 9.0
"""Bar, by which a leak or a blockage moves the pressure away from what the temperature gives."""
LEAST_WARM, MOST_WARM = 3.0, 15.0
"""Degrees, by which the air around is too warm when its cooling has failed."""
CENTRE = np.array([62.0, 5.7, 22.0, 25.0])
SPREAD = np.array([32.0, 4.0, 4.0, 2.0])
HIDDEN = 256
RIDGE = 0.05
SHARPNESS = 12.0
"""Regression gives scores around 0 and 1; the probability is the sigmoid of this many times what is above a half."""
SEED = 2018


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    model: onnx.ModelProto
    readings: NDArray[np.float32]
    """Held out, [N, 4], of ``COLUMNS``."""
    anomalies: NDArray[np.uint8]
    """Whether each of them is one, 0 or 1."""


def train() -> Trained:
    """The same on every machine."""
    # The older generator: its streams never change between versions of numpy.
    random = np.random.RandomState(SEED)
    healthy = np.concatenate([run(random) for _ in range(RUNS)])
    readings, anomalies = faulty(healthy, random)
    kept = (RUNS - HELD_OUT) * READINGS
    first = _rounded(np.asarray(random.standard_normal((4, HIDDEN)), np.float64), 12)
    bias = _rounded(random.uniform(-2, 2, HIDDEN), 12)
    hidden = np.maximum((readings[:kept] - CENTRE) / SPREAD @ first + bias, 0)
    features = np.hstack([hidden, np.ones((kept, 1))])
    solved = np.linalg.solve(features.T @ features + RIDGE * np.eye(HIDDEN + 1), features.T @ anomalies[:kept])
    second = _rounded(np.asarray(solved, np.float64) * SHARPNESS, 12)
    return Trained(
        model=_model(first, bias, second[:-1, None], second[-1:] - SHARPNESS / 2),
        readings=readings[kept:].astype(np.float32),
        anomalies=anomalies[kept:].astype(np.uint8),
    )


def run(random: np.random.RandomState) -> NDArray[np.float64]:
    """The readings of a machine that starts cold and has no fault: the sensor's formula with its default settings."""
    temperature = 21.0
    rows: list[tuple[float, float, float, float]] = []
    for _ in range(READINGS):
        rise = random.uniform() - 0.5 if temperature > 100 else random.uniform() * 1.5 - 0.25
        temperature += rise
        pressure = 1 + (temperature - 21) * (10 - 1) / (100 - 21)
        rows.append((temperature, pressure, 21 + random.uniform() - 0.5, 25 + random.randint(-1, 2)))
    return np.array(rows)


def faulty(
    readings: NDArray[np.float64], random: np.random.RandomState
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The readings, a fifth of them with one of two faults; and which are anomalies, which hot ones are too."""
    found = readings.copy()
    count = len(found)
    fault = random.randint(0, 10, count)
    off = random.uniform(LEAST_OFF, MOST_OFF, count) * random.choice([-1.0, 1.0], count)
    warm = random.uniform(LEAST_WARM, MOST_WARM, count)
    found[:, 1] += np.where(fault == 0, off, 0)
    found[:, 2] += np.where(fault == 1, warm, 0)
    return found, ((fault <= 1) | (found[:, 0] > HOTTEST)).astype(np.float64)


def main() -> None:
    """Write the files beside this one."""
    folder = Path(__file__).parent
    trained = train()
    (folder / "anomaly.onnx").write_bytes(trained.model.SerializeToString())
    np.savez_compressed(folder / "heldout.npz", readings=trained.readings, anomalies=trained.anomalies)


def _rounded(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """To multiples of ``2 ** -bits``, which float32 holds exactly."""
    return np.rint(values * 2.0**bits) * 2.0**-bits


def _model(
    first: NDArray[np.float64], bias: NDArray[np.float64], second: NDArray[np.float64], second_bias: NDArray[np.float64]
) -> onnx.ModelProto:
    weights = {"centre": CENTRE, "spread": SPREAD, "first": first, "bias": bias}
    weights |= {"second": second, "second_bias": second_bias}
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["readings", "centre"], ["centred"]),
            helper.make_node("Div", ["centred", "spread"], ["scaled"]),
            helper.make_node("Gemm", ["scaled", "first", "bias"], ["mixed"]),
            helper.make_node("Relu", ["mixed"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "second", "second_bias"], ["score"]),
            helper.make_node("Sigmoid", ["score"], ["anomaly"]),
        ],
        "anomaly",
        [helper.make_tensor_value_info("readings", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("anomaly", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
        f"Readings of a machine ({', '.join(COLUMNS)}); answers the probability that something is wrong with it.",
    )
    model = helper.make_model(
        graph, producer_name="windtunnel", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model.SerializeToString(), full_check=True)  # pyright: ignore[reportUnknownMemberType]  # PathLike of onnx
    return model


if __name__ == "__main__":
    main()
