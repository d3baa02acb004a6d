"""What users collect, as rows: lists, numpy arrays, pandas and Spark frames, without importing what is not there.

A list is one row, as in azureml-monitoring; so is an array of one dimension.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Data = Any
"""What users pass: their libraries' types are not known here."""


class NotTabular(Exception):
    """Data of a kind that cannot be collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows, and the header that the data has itself."""

    rows: Sequence[Sequence[object]]
    header: tuple[str, ...] = ()

    def csv(self) -> bytes:
        """The rows, without the header."""
        return _csv(self.rows)


def header_line(header: Sequence[str]) -> bytes:
    """The header as a line of CSV."""
    return _csv([header]) if header else b""


def snapshot(data: Data) -> tuple[Data, int]:
    """A copy that the user's later changes do not reach, and about how many bytes it has. Raises ``NotTabular``."""
    if isinstance(data, list):
        row = cast("list[object]", data)
        return list(row), 64 * len(row)
    if _is(data, "numpy", "ndarray"):
        return data.copy(), int(data.nbytes)
    if _is(data, "pandas", "DataFrame"):
        return data.copy(deep=True), int(data.size) * 16
    if _is(data, "pyspark.sql", "DataFrame"):
        frame = data.toPandas()
        return frame, int(frame.size) * 16
    raise NotTabular


def table(data: Data) -> Table:
    """The rows of a snapshot."""
    if isinstance(data, list):
        return Table(rows=[cast("list[object]", data)])
    if _is(data, "numpy", "ndarray"):
        rows = data.tolist() if data.ndim > 1 else [data.tolist()] if data.ndim == 1 else [[data.item()]]
        return Table(rows=rows)
    header = tuple(str(name) for name in data.columns)
    return Table(rows=[list(row) for row in data.itertuples(index=False, name=None)], header=header)


def with_columns(data: Data, names: Sequence[str], values: Sequence[object]) -> Data:
    """The data with the same values at the end of every row. Raises ``NotTabular``."""
    if isinstance(data, list):
        return [*cast("list[object]", data), *values]
    if _is(data, "numpy", "ndarray"):
        numpy = cast("Any", sys.modules["numpy"])
        rows = data if data.ndim > 1 else numpy.array([data])
        added = numpy.repeat(numpy.array([list(values)], dtype=object), rows.shape[0], axis=0)
        return numpy.append(rows.astype(object), added, axis=1)
    if _is(data, "pyspark.sql", "DataFrame"):
        data = data.toPandas()
    if _is(data, "pandas", "DataFrame"):
        frame = data.copy(deep=False)
        for name, value in zip(names, values, strict=True):
            frame.insert(len(frame.columns), name, value)
        return frame
    raise NotTabular


def _is(data: Data, module: str, name: str) -> bool:
    kind: object = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(data, kind)


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
