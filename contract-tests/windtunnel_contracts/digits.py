"""The digits classifier and its labelled held-out set, and what onnxruntime itself makes of them in this process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Digits:
    """Real handwritten digits that the model has not seen. See ``data/digits/README.md``."""

    model: Path
    pixels: NDArray[np.float32]
    """[N, 64], 0 to 16."""
    labels: NDArray[np.int64]
    """[N], 0 to 9."""

    @classmethod
    def load(cls) -> Digits:
        """From the package's data; the files are committed."""
        folder = Path(str(resources.files("windtunnel_contracts").joinpath("data", "digits")))
        with np.load(folder / "heldout.npz") as held_out:
            pixels, labels = held_out["pixels"], held_out["labels"]
        return cls(folder / "digits.onnx", pixels.astype(np.float32), labels.astype(np.int64))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model's file, in hexadecimal."""
        return hashlib.sha256(self.model.read_bytes()).hexdigest()

    @cached_property
    def _session(self) -> Any:
        onnxruntime: Any = import_module("onnxruntime")  # it has no types
        return onnxruntime.InferenceSession(str(self.model), providers=["CPUExecutionProvider"])

    def expected(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """onnxruntime's own answer in this process, [N, 10]."""
        (found,) = self._session.run(None, {self._session.get_inputs()[0].name: pixels})
        return np.asarray(found, dtype=np.float32)

    def accuracy(self) -> float:
        """Of the model on the held-out set, computed in this process."""
        return float((self.expected(self.pixels).argmax(axis=1) == self.labels).mean())

    def request(self, rows: int) -> dict[str, list[list[float]]]:
        """A body for ``/score``."""
        return {"data": self.pixels[:rows].tolist()}
