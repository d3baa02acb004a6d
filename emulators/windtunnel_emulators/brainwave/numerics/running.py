"""``Session``: a model that onnxruntime runs as it stands: what it may fuse never changes a rounded value."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_emulators.brainwave.errors import BadModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

_NOT_FUSED = ["ConvBNFusion", "ConvMulFusion", "ConvAddFusion"]
"""They would scale the weights, which are rounded already."""


class _Argument(Protocol):
    name: str
    type: str
    shape: list[int | str | None]


class _Inference(Protocol):
    def get_inputs(self) -> list[_Argument]: ...
    def get_outputs(self) -> list[_Argument]: ...
    def run(self, outputs: list[str] | None, inputs: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]: ...


class _Options(Protocol):
    intra_op_num_threads: int
    inter_op_num_threads: int
    log_severity_level: int


class _Onnxruntime(Protocol):
    """The part of the module that is used."""

    def SessionOptions(self) -> _Options: ...
    def InferenceSession(
        self, model: bytes, *, sess_options: _Options, providers: list[str], disabled_optimizers: list[str]
    ) -> _Inference: ...


class Session:
    """Of one model. Any number of threads may run it. Raises ``BadModel`` for what onnxruntime refuses."""

    def __init__(self, model: ModelProto, *, threads: int | None = None) -> None:
        runtime = cast("_Onnxruntime", import_module("onnxruntime"))  # it has no types
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        try:
            self._inference = runtime.InferenceSession(
                model.SerializeToString(),
                sess_options=options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_NOT_FUSED,
            )
        except Exception as problem:  # onnxruntime's exceptions share no base class
            raise BadModel(
                f"onnxruntime refuses the model: {str(problem).splitlines()[0][:300]}",
                way_out="Check the model with onnx.checker.check_model(path, full_check=True).",
            ) from problem
        self.inputs = {a.name: (a.type, tuple(a.shape)) for a in self._inference.get_inputs()}
        """Element type and shape by name; a text or None where a dimension is open."""
        self.outputs = tuple(a.name for a in self._inference.get_outputs())

    def run(
        self, inputs: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """By name."""
        names = list(outputs or self.outputs)
        return dict(zip(names, self._inference.run(names, dict(inputs)), strict=True))
