"""Readers of SQLite's values for columns whose type the schema fixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.store import SqlValue


def text(value: SqlValue) -> str:
    assert isinstance(value, str)
    return value


def integer(value: SqlValue) -> int:
    assert isinstance(value, int)
    return value


def real(value: SqlValue) -> float:
    assert isinstance(value, (int, float))
    return float(value)


def data(value: SqlValue) -> bytes:
    assert isinstance(value, bytes)
    return value
