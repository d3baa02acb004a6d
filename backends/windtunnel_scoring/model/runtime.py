"""onnxruntime behind types: a session that is loaded once, says what the model wants, and runs it with a time limit.

onnxruntime ships no type information; this is the only module that touches it.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np

from windtunnel_scoring.errors import ModelError, RunFailed, ScoringTimeout
from windtunnel_scoring.model.elements import BY_ONNX, Array, Element

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_scoring.model.watchdog import Watchdog

Output: TypeAlias = "Array | list[Output] | dict[str | int, object] | None"
"""What a model gives: a tensor, a sequence, a map, or nothing for an optional one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of the model."""

    name: str
    type: str
    """As onnxruntime says it: ``tensor(float)``, ``seq(map(int64,tensor(float)))``."""
    shape: tuple[int | str | None, ...]
    """Symbolic dimensions by name, None without one. Empty for a scalar, and for a model that does not say."""

    @property
    def element(self) -> Element | None:
        """None for what is no tensor, or has elements that this server does not carry."""
        return BY_ONNX.get(self.type)

    @property
    def written_shape(self) -> str:
        """``[N, 64]``."""
        return "[" + ", ".join("?" if dim is None else str(dim) for dim in self.shape) + "]"


class InputMismatch(Exception):
    """The model could not compute with inputs of the right types; the message is its own sentence."""


class _NodeArg(Protocol):
    name: str
    type: str
    shape: list[int | str | None]


class _RunOptions(Protocol):
    terminate: bool
    log_severity_level: int


class _SessionOptions(Protocol):
    intra_op_num_threads: int
    inter_op_num_threads: int
    log_severity_level: int

    def add_session_config_entry(self, key: str, value: str) -> None: ...


class _OrtValue(Protocol):
    def data_type(self) -> str: ...
    def shape(self) -> list[int]: ...
    def data_ptr(self) -> int: ...
    def numpy(self) -> Array: ...


class _OrtValueFactory(Protocol):
    def ortvalue_from_numpy(self, array: Array) -> _OrtValue: ...
    def ortvalue_from_numpy_with_onnx_type(self, array: Array, number: int) -> _OrtValue: ...


class _InferenceSession(Protocol):
    def get_inputs(self) -> list[_NodeArg]: ...
    def get_outputs(self) -> list[_NodeArg]: ...
    def run(self, names: Sequence[str], feeds: Mapping[str, Array], options: _RunOptions) -> list[Output]: ...
    def run_with_ort_values(
        self, names: Sequence[str], feeds: Mapping[str, _OrtValue], options: _RunOptions
    ) -> list[_OrtValue]: ...


class _Onnxruntime(Protocol):
    __version__: str
    OrtValue: _OrtValueFactory

    def SessionOptions(self) -> _SessionOptions: ...
    def RunOptions(self) -> _RunOptions: ...
    def InferenceSession(self, path: str, options: _SessionOptions, *, providers: list[str]) -> _InferenceSession: ...


class Session:
    """One model, loaded. ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Raises ``ModelError``, with onnxruntime's own reason."""
        self._ort = cast("_Onnxruntime", importlib.import_module("onnxruntime"))
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait would burn the little processor time that a container has.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = self._ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            broken = type(error).__name__ == "InvalidProtobuf"
            reason = "it is no ONNX model, or a part of it is missing" if broken else _sentence(error)
            raise ModelError(
                f"{path.name} cannot be loaded by onnxruntime {self._ort.__version__}: {reason}"
            ) from error
        self.inputs = tuple(map(_port, self._session.get_inputs()))
        self.outputs = tuple(map(_port, self._session.get_outputs()))
        for port in self.inputs:
            if port.element is None:
                raise ModelError(
                    f"input {port.name!r} of {path.name} is a {port.type}, which a request cannot carry;"
                    " give a script with init() and run() that builds it"
                )
        types = {port.type for port in (*self.inputs, *self.outputs)}
        self._by_value = "tensor(bfloat16)" in types
        if self._by_value and any(port.element is None for port in self.outputs):
            raise ModelError(f"{path.name} has bfloat16 beside outputs that are no tensors; give a script that runs it")

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str], *, watchdog: Watchdog, timeout_ms: int
    ) -> list[Output]:
        """The outputs of those names. Raises ``InputMismatch``, ``RunFailed`` or ``ScoringTimeout``."""
        options = self._ort.RunOptions()
        options.log_severity_level = 4

        def end() -> None:
            options.terminate = True

        try:
            with watchdog.limit(timeout_ms / 1000, end):
                if self._by_value:
                    return self._run_values(feeds, outputs, options)
                return self._session.run(outputs, feeds, options)
        except Exception as error:
            if options.terminate:
                raise ScoringTimeout(timeout_ms) from error
            if _is_mismatch(error):
                raise InputMismatch(_sentence(error)) from error
            raise RunFailed(error) from error

    def _run_values(self, feeds: Mapping[str, Array], outputs: Sequence[str], options: _RunOptions) -> list[Output]:
        """By onnxruntime's own values, the only way for bfloat16 in and out."""
        factory = self._ort.OrtValue
        elements = {port.name: port.element for port in self.inputs}
        values: dict[str, _OrtValue] = {}
        for name, array in feeds.items():
            element = elements[name]
            if element is not None and element.name == "bfloat16":
                values[name] = factory.ortvalue_from_numpy_with_onnx_type(array, element.number)
            else:
                values[name] = factory.ortvalue_from_numpy(array)
        return [_array(value) for value in self._session.run_with_ort_values(outputs, values, options)]


def _port(argument: _NodeArg) -> Port:
    return Port(name=argument.name, type=argument.type, shape=tuple(argument.shape))


def _array(value: _OrtValue) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()
    shape = value.shape()
    count = int(np.prod(shape))
    if not count:
        return np.zeros(shape, np.uint16)
    words = (ctypes.c_uint16 * count).from_address(value.data_ptr())
    return np.array(words, np.uint16).reshape(shape)


def _is_mismatch(error: Exception) -> bool:
    """Whether the input is at fault: a wrong rank, or values that an operator cannot compute with."""
    kind, text = type(error).__name__, str(error)
    # Operators fail with one code or the other, by version. A lack of memory is not the caller's.
    by_operator = kind in ("Fail", "RuntimeException") and "while running" in text
    return (kind == "InvalidArgument" or by_operator) and "alloc" not in text


def _sentence(error: Exception) -> str:
    """onnxruntime's message without its code and without the place in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)).strip()
    return re.sub(r"\S*/onnxruntime/\S+:\d+ .*?\) ", "", text)
