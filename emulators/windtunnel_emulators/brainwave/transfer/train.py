"""Makes ``featurizer.onnx`` from the digits 0 to 4: ``python -m windtunnel_emulators.brainwave.transfer.train``.

Two convolutions, trained in numpy (a minute or two) with a classifier behind them that is thrown away. Training by
gradients gives slightly other weights on another machine: the committed file is the one of the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

from windtunnel_emulators.brainwave.transfer.digits import SIDE, old_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FILE = Path(__file__).parent / "featurizer.onnx"
CHANNELS = (32, 64)
_EPOCHS, _BATCH, _RATE, _SEED = 40, 32, 0.002, 2018


class Network:
    """Convolution, rectifier, pooling, twice; then a classifier. With its gradients."""

    def __init__(self, classes: int) -> None:
        random = np.random.RandomState(_SEED)
        first, second = CHANNELS
        places = (SIDE // 4) ** 2
        self.weights: dict[str, Array] = {
            "k1": random.standard_normal((first, 1, 3, 3)) * np.sqrt(2 / 9),
            "b1": np.zeros(first),
            "k2": random.standard_normal((second, first, 3, 3)) * np.sqrt(2 / (9 * first)),
            "b2": np.zeros(second),
            "w": random.standard_normal((second * places, classes)) * np.sqrt(1 / (second * places)),
            "b": np.zeros(classes),
        }
        self._moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in self.weights.items()}
        self._steps = 0

    def step(self, pixels: Array, labels: NDArray[np.int64]) -> float:
        """One step of Adam; the mean loss before it."""
        w = self.weights
        windows1 = _windows(pixels)
        sums1 = np.einsum("nchwij,ocij->nohw", windows1, w["k1"], optimize=True) + w["b1"][:, None, None]
        pooled1, kept1 = _pool(np.maximum(sums1, 0))
        windows2 = _windows(pooled1)
        sums2 = np.einsum("nchwij,ocij->nohw", windows2, w["k2"], optimize=True) + w["b2"][:, None, None]
        pooled2, kept2 = _pool(np.maximum(sums2, 0))
        flat = pooled2.reshape(len(pixels), -1)
        scores = flat @ w["w"] + w["b"]
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        loss = -float(np.log(chances[np.arange(len(labels)), labels] + 1e-12).mean())

        back = chances.copy()
        back[np.arange(len(labels)), labels] -= 1
        back /= len(labels)
        grads = {"w": flat.T @ back, "b": back.sum(axis=0)}
        back2 = _unpool((back @ w["w"].T).reshape(pooled2.shape), kept2) * (sums2 > 0)
        grads |= {"k2": np.einsum("nchwij,nohw->ocij", windows2, back2, optimize=True), "b2": back2.sum(axis=(0, 2, 3))}
        flipped = w["k2"][:, :, ::-1, ::-1]
        into = np.einsum("nohwij,ocij->nchw", _windows(back2), flipped, optimize=True)
        back1 = _unpool(into, kept1) * (sums1 > 0)
        grads |= {"k1": np.einsum("nchwij,nohw->ocij", windows1, back1, optimize=True), "b1": back1.sum(axis=(0, 2, 3))}
        self._adam(grads)
        return loss

    def _adam(self, grads: dict[str, Array]) -> None:
        self._steps += 1
        for name, grad in grads.items():
            first, second = self._moments[name]
            first += 0.1 * (grad - first)
            second += 0.001 * (grad * grad - second)
            size = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            self.weights[name] -= _RATE * first / (1 - 0.9**self._steps) / size


def _windows(pixels: Array) -> Array:
    """[N, C, H, W, 3, 3], with zeros around."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sliding_window_view(padded, (3, 3), axis=(2, 3))


def _pool(maps: Array) -> tuple[Array, NDArray[np.bool_]]:
    n, c, h, w = maps.shape
    parts = maps.reshape(n, c, h // 2, 2, w // 2, 2)
    largest = parts.max(axis=(3, 5), keepdims=True)
    return largest.reshape(n, c, h // 2, w // 2), parts == largest


def _unpool(back: Array, kept: NDArray[np.bool_]) -> Array:
    n, c, h, w = back.shape
    spread = back.reshape(n, c, h, 1, w, 1) * kept / kept.sum(axis=(3, 5), keepdims=True)
    return np.asarray(spread.reshape(n, c, 2 * h, 2 * w), np.float64)


def train() -> onnx.ModelProto:
    """The featurizer, of digits 0 to 4."""
    task = old_task()
    network = Network(int(task.labels.max()) + 1)
    random = np.random.RandomState(_SEED)
    pixels = task.pixels.astype(np.float64)
    for _ in range(_EPOCHS):
        order = random.permutation(len(task))
        for start in range(0, len(task), _BATCH):
            chosen = order[start : start + _BATCH]
            network.step(pixels[chosen], task.labels[chosen])
    return _featurizer(network.weights)


def _featurizer(weights: dict[str, Array]) -> onnx.ModelProto:
    nodes: list[onnx.NodeProto] = []
    source = "images"
    for layer in ("1", "2"):
        conv, relu, pool = f"conv{layer}", f"relu{layer}", "features" if layer == "2" else "pool1"
        nodes += [
            helper.make_node("Conv", [source, f"k{layer}", f"b{layer}"], [conv], name=conv, pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [conv], [relu], name=relu),
            helper.make_node("MaxPool", [relu], [pool], name=pool, kernel_shape=[2, 2], strides=[2, 2]),
        ]
        source = pool
    kept = {name: weights[name] for name in ("k1", "b1", "k2", "b2")}
    graph = helper.make_graph(
        nodes,
        "featurizer",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS[1], SIDE // 4, SIDE // 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in kept.items()],
        "Features of handwritten digits, learned on 0 to 4.",
    )
    return helper.make_model(
        graph, producer_name="windtunnel", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )


if __name__ == "__main__":
    FILE.write_bytes(train().SerializeToString())
