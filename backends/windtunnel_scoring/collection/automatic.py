"""Collection for models without a script: every request's inputs, and the predictions with the inputs' correlation.

A row per element of the batch; a column per number, named after its tensor (``input_0, input_1 ...``, or the tensor's
name alone where it has one number per row). Requests of another form (no common batch, or more than ``WIDEST`` numbers
per row, such as images) are not collected; that is counted, and said once. Arrays become rows on the writer's thread.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from windtunnel_scoring.collection import tables
from windtunnel_scoring.collection.collector import COLUMNS, ModelDataCollector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.collection.writer import Lines
    from windtunnel_scoring.model.elements import Array

logger = logging.getLogger("windtunnel.collection")

WIDEST: Final = 1024


class AutomaticCollection:
    """For one model; may be used from several threads."""

    def __init__(self, model_name: str) -> None:
        self._inputs = ModelDataCollector(model_name, designation="inputs")
        self._predictions = ModelDataCollector(model_name, designation="predictions")
        self.skipped = 0

    def observe(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Never raises and never waits. The arrays are not changed from here on."""
        writer = self._inputs.writer
        if writer is None and not self._inputs.debugs:
            return
        now, values = datetime.now(UTC), list(self._inputs.correlation().values())
        size = sum(int(getattr(array, "nbytes", 64)) for array in (*inputs.values(), *outputs.values()))
        if writer is not None:
            writer.offer(lambda: self._lines(inputs, outputs, values, now), size)
        if self._inputs.debugs:
            for lines in self._lines(inputs, outputs, values, now):
                print((lines.header + lines.lines).decode())

    def _lines(
        self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], values: Sequence[object], now: datetime
    ) -> list[Lines]:
        given, answered = flatten(inputs), flatten(outputs)
        if given is None or answered is None:
            self.skipped += 1
            if self.skipped == 1:
                logger.warning("requests whose tensors are no rows of at most %d values are not collected", WIDEST)
            return []
        return [
            *self._inputs.lines(_with(given, values), now),
            *self._predictions.lines(_with(answered, values), now),
        ]


def flatten(arrays: Mapping[str, Any]) -> tables.Table | None:
    """Rows with a header; None when the arrays are no rows."""
    import numpy as np

    names: list[str] = []
    parts: list[list[list[object]]] = []
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            return None  # a sequence or a map
        array = cast("Array", value)
        rows = array.shape[0] if array.ndim else 1
        if rows == 0 or array.size // rows > WIDEST:
            return None
        part: list[list[object]] = array.reshape(rows, -1).tolist()
        width = len(part[0])
        names += [name] if width == 1 else [f"{name}_{index}" for index in range(width)]
        parts.append(part)
    if not parts or len({len(part) for part in parts}) != 1 or not 0 < len(names) <= WIDEST:
        return None
    return tables.Table(
        rows=[[cell for cells in row for cell in cells] for row in zip(*parts, strict=True)], header=tuple(names)
    )


def _with(found: tables.Table, values: Sequence[object]) -> tables.Table:
    return tables.Table(rows=[[*row, *values] for row in found.rows], header=(*found.header, *COLUMNS))
