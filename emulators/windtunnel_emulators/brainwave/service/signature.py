"""``Signature``: what a model takes and gives, and how requests of either generation of clients mean it.

The preview's client calls its input ``images`` and wants exactly one output, ``output_alias``. The later client uses
the model's names, as TensorFlow writes them (``name:0``) or not, and ``images`` where it was not told; it looks for its
outputs among all that come back, and fails when there are two and it had named none. So: all outputs under their own
names when the request says that it is for a route (the later client always does), else ``output_alias`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from windtunnel_emulators.brainwave.service.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

IMAGES, OUTPUT_ALIAS = "images", "output_alias"
_ELEMENTS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input. An open dimension is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def text(self) -> str:
        """As in ``float32[N,3,224,224]``."""
        return f"{self.dtype}[{','.join('N' if d is None else str(d) for d in self.shape)}]"

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape can be given to it, as many of them as there are rows."""
        return len(shape) == len(self.shape) and all(
            own is None or own == size or (i == 0 and own == 1)
            for i, (own, size) in enumerate(zip(self.shape, shape, strict=True))
        )

    @property
    def channels_first(self) -> Input | None:
        """The same picture as TensorFlow has it, channels last; None when this is no picture with channels first."""
        if len(self.shape) != 4 or self.shape[1] not in (1, 3) or self.shape[3] == self.shape[1]:
            return None
        n, c, h, w = self.shape
        return Input(name=self.name, dtype=self.dtype, shape=(n, h, w, c))

    @property
    def picture_side(self) -> int | None:
        """Of a square colour picture; None when the input is none."""
        last = self.channels_first or self
        if len(last.shape) == 4 and last.shape[3] == 3 and last.shape[1] == last.shape[2] and self.dtype == "float32":
            return last.shape[1]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Of one model."""

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, inputs: Mapping[str, tuple[str, tuple[int | str | None, ...]]], outputs: Iterable[str]) -> Signature:
        """From what onnxruntime says of a model."""
        return cls(
            inputs=tuple(
                Input(
                    name=name,
                    dtype=_ELEMENTS.get(kind, kind),
                    shape=tuple(d if isinstance(d, int) else None for d in shape),
                )
                for name, (kind, shape) in inputs.items()
            ),
            outputs=tuple(outputs),
        )

    def named(self, keys: Iterable[str]) -> dict[str, Input]:
        """The input that each key of a request means. Raises ``Refused``."""
        found: dict[str, Input] = {}
        for key in keys:
            declared = self._declared(key)
            if declared is None:
                raise Refused(f"the model has no input {key!r}", way_out=f"It has: {self._listed}.")
            if declared in found.values():
                raise Refused(f"input {declared.name!r} is given twice")
            found[key] = declared
        missing = [i for i in self.inputs if i not in found.values()]
        if missing:
            names = ", ".join(repr(i.name) for i in missing)
            raise Refused(f"the request lacks input {names}", way_out=f"The model has: {self._listed}.")
        return found

    def _declared(self, key: str) -> Input | None:
        for declared in self.inputs:
            if key == declared.name or key.removesuffix(":0") == declared.name.removesuffix(":0"):
                return declared
        return self.inputs[0] if key == IMAGES and len(self.inputs) == 1 else None

    @property
    def _listed(self) -> str:
        return ", ".join(f"{i.name!r} {i.text}" for i in self.inputs)

    def check_wanted(self, wanted: Sequence[str], *, routed: bool) -> None:
        """Raises ``Refused`` for an output that the model does not have."""
        for name in wanted:
            if self._output(name) is None and (routed or name != OUTPUT_ALIAS):
                listed = ", ".join(map(repr, self.outputs))
                raise Refused(f"the model has no output {name!r}", way_out=f"It has: {listed}.")

    def _output(self, name: str) -> str | None:
        return next((own for own in self.outputs if own.removesuffix(":0") == name.removesuffix(":0")), None)

    def answer(
        self, outputs: Mapping[str, NDArray[np.generic]], *, routed: bool, wanted: Sequence[str]
    ) -> dict[str, NDArray[np.generic]]:
        """What goes back, by the client's names. ``wanted`` is empty unless the client filters, and was checked."""
        if not routed and not wanted:
            wanted = [OUTPUT_ALIAS]
        names = {name: self._output(name) or self.outputs[0] for name in wanted or self.outputs}
        return {name: outputs[own] for name, own in names.items()}


def fitted(array: NDArray[np.generic], declared: Input, key: str) -> NDArray[np.generic]:
    """The array as the model takes it. Raises ``Refused`` with what it takes."""
    if array.dtype == np.float16 and declared.dtype == "float32":
        array = array.astype(np.float32)  # vectors travel to the device as fp16 anyway
    if array.dtype != np.dtype(declared.dtype):
        raise Refused(
            f"input {key!r} has elements of type {array.dtype}, and the model takes {declared.text}",
            way_out=f"Convert it: array.astype('{declared.dtype}').",
        )
    if declared.fits(array.shape):
        return array
    last = declared.channels_first
    if last is not None and last.fits(array.shape):
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    raise Refused(
        f"input {key!r} has the shape {list(array.shape)}, and the model takes {declared.text}"
        + (f" or {last.text}" if last is not None else "")
    )
