"""Makes ``digits.onnx`` and ``heldout.npz`` from scikit-learn's handwritten digits: ``python train.py``.

A network of one hidden layer whose first weights are random and fixed, and whose second are ridge regression, solved
exactly. Unlike training by gradients this has one solution, and weights are rounded far above the differences between
processors and libraries, so that everybody who runs it gets the committed file, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT = 360
HIDDEN = 448
RIDGE = 10.0
SHARPNESS = 10.0
"""Regression gives scores around 0 and 1; probabilities are the softmax of this many times the scores."""
SEED = 2018


class _Bunch(Protocol):
    data: NDArray[np.float64]
    target: NDArray[np.int64]


class _Datasets(Protocol):
    def load_digits(self) -> _Bunch: ...


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    model: onnx.ModelProto
    pixels: NDArray[np.uint8]
    """Of the held-out digits, [360, 64], 0 to 16."""
    labels: NDArray[np.uint8]


def train() -> Trained:
    """The same on every machine."""
    # scikit-learn has no types.
    digits = cast("_Datasets", import_module("sklearn.datasets")).load_digits()
    # The older generator: its streams never change between versions of numpy.
    random = np.random.RandomState(SEED)
    order = random.permutation(len(digits.data))
    held_out, kept = order[:HELD_OUT], order[HELD_OUT:]
    first = _rounded(np.asarray(random.standard_normal((64, HIDDEN)), np.float64) / 32, 16)
    bias = _rounded(random.uniform(-1, 1, HIDDEN), 12)
    hidden = np.maximum(digits.data[kept] @ first + bias, 0)
    features = np.hstack([hidden, np.ones((len(hidden), 1))])
    wanted = np.eye(10)[digits.target[kept]]
    solved = np.linalg.solve(features.T @ features + RIDGE * np.eye(HIDDEN + 1), features.T @ wanted)
    second = _rounded(np.asarray(solved, np.float64) * SHARPNESS, 12)
    return Trained(
        model=_model(first, bias, second[:-1], second[-1]),
        pixels=digits.data[held_out].astype(np.uint8),
        labels=digits.target[held_out].astype(np.uint8),
    )


def main() -> None:
    """Write the files beside this one."""
    folder = Path(__file__).parent
    trained = train()
    (folder / "digits.onnx").write_bytes(trained.model.SerializeToString())
    np.savez_compressed(folder / "heldout.npz", pixels=trained.pixels, labels=trained.labels)


def _rounded(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """To multiples of ``2 ** -bits``, which float32 holds exactly."""
    return np.rint(values * 2.0**bits) * 2.0**-bits


def _model(
    first: NDArray[np.float64], bias: NDArray[np.float64], second: NDArray[np.float64], second_bias: NDArray[np.float64]
) -> onnx.ModelProto:
    weights = {"first": first, "bias": bias, "second": second, "second_bias": second_bias}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["data", "first", "bias"], ["mixed"]),
            helper.make_node("Relu", ["mixed"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "second", "second_bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "digits",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
        "Handwritten digits, 8 by 8 pixels of 0 to 16 in rows; answers the probability of each digit.",
    )
    model = helper.make_model(
        graph, producer_name="windtunnel", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model.SerializeToString(), full_check=True)  # pyright: ignore[reportUnknownMemberType]  # PathLike of onnx
    return model


if __name__ == "__main__":
    main()
