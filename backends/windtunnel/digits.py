"""The digits example: a classifier of real handwritten digits and held-out images with labels, for ``windtunnel demo``.

It comes with the contract suite's package as data; nothing of that package is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.errors import MissingExtra, ScoringFailed
from windtunnel.jsontypes import as_list
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel.jsontypes import Json

TARGETS = (Target.ACI, Target.AKS, Target.IOT_EDGE)
"""Where the example is deployed; further targets join here."""
_PACKAGE = "windtunnel_contracts"
_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A model, and images that it was not trained on."""

    model: Path
    images: tuple[tuple[float, ...], ...]
    labels: tuple[int, ...]

    def first_request(self) -> bytes:
        """For one image."""
        return _body(self.images[:1])

    def ask(self, predict: Callable[[bytes], Json]) -> tuple[int, int]:
        """Ask about every image; how many answers were right, and how many were asked. Raises ``ScoringFailed``."""
        right = 0
        for start in range(0, len(self.images), _BATCH):
            answers = as_list(predict(_body(self.images[start : start + _BATCH])))
            labels = self.labels[start : start + _BATCH]
            if len(answers) != len(labels):
                raise ScoringFailed(f"{len(labels)} images were sent and {len(answers)} answers came back")
            right += sum(_digit(answer) == label for answer, label in zip(answers, labels, strict=True))
        return right, len(self.images)


def load() -> Example:
    """Raises ``MissingExtra`` when the package with the data is not installed."""
    found = util.find_spec(_PACKAGE)
    folder = Path(found.origin).parent / "data" / "digits" if found is not None and found.origin else None
    if folder is None or not folder.is_dir():
        raise MissingExtra("the digits example", "contracts", _PACKAGE)
    import numpy as np  # lazily: 0.1 s

    with np.load(folder / "heldout.npz", allow_pickle=False) as data:
        images = tuple(tuple(float(v) for v in row) for row in data["pixels"])
        labels = tuple(int(v) for v in data["labels"])
    return Example(model=folder / "digits.onnx", images=images, labels=labels)


def _body(images: tuple[tuple[float, ...], ...]) -> bytes:
    return json.dumps({"data": images}).encode()


def _digit(scores: Json) -> int:
    """The digit with the highest score."""
    values = [float(v) for v in as_list(scores) if isinstance(v, int | float)]
    if not values:
        raise ScoringFailed(f"an answer is no list of scores: {scores!r}")
    return values.index(max(values))
