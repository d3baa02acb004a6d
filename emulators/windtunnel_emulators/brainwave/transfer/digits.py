"""The digits of scikit-learn as pictures of 16 by 16: those of 0 to 4 to learn features from, 5 to 9 as the new task.

The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, CC BY 4.0, doi 10.24432/C50P49.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from windtunnel_emulators.brainwave.errors import NotAvailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_NEW = 5
SIDE = 16
_SEED = 2018


class _Bunch(Protocol):
    images: NDArray[np.float64]
    target: NDArray[np.int64]


class _Datasets(Protocol):
    def load_digits(self) -> _Bunch: ...


@dataclass(frozen=True, slots=True)
class Pictures:
    """[N, 1, 16, 16], 0 to 1, and labels from 0."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: slice) -> Pictures:
        """Some of them."""
        return Pictures(self.pixels[chosen], self.labels[chosen])


def old_task() -> Pictures:
    """Digits 0 to 4."""
    return _task(lambda labels: labels < FIRST_NEW)


def new_task() -> tuple[Pictures, Pictures]:
    """Digits 5 to 9, labelled from 0: to train the head with, and held out."""
    task = _task(lambda labels: labels >= FIRST_NEW)
    half = len(task) // 2
    return task.part(slice(half)), task.part(slice(half, None))


class _Choice(Protocol):
    def __call__(self, labels: NDArray[np.int64], /) -> NDArray[np.bool_]: ...


def _task(choice: _Choice) -> Pictures:
    try:
        datasets = cast("_Datasets", import_module("sklearn.datasets"))  # it has no types
    except ModuleNotFoundError as problem:
        raise NotAvailable("the example's digits are scikit-learn's", way_out="pip install scikit-learn") from problem
    digits = datasets.load_digits()
    chosen = np.flatnonzero(choice(digits.target))
    # The older generator: its streams never change between versions of numpy.
    chosen = np.random.RandomState(_SEED).permutation(chosen)
    large = np.repeat(np.repeat(digits.images[chosen], 2, axis=1), 2, axis=2)
    labels = digits.target[chosen]
    return Pictures((large[:, None] / 16).astype(np.float32), labels - labels.min())
