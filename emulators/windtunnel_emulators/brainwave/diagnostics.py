"""Diagnostics: the device's own codes, as Microsoft's firmware numbers them, with a sentence and a suggestion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Code(IntEnum):
    """What the firmware calls hex codes."""

    NATIVE_DIM = 700
    MFUS = 701
    INITIAL_VRF = 702
    MATRIX_RF = 703
    ADDSUB_VRF = 704
    MULTIPLY_VRF = 705
    DRAM = 706
    VECTOR_MEMORY = 707
    TILE_ROWS = 708
    TILE_COLUMNS = 709
    LOOP = 710
    SUBSET = 711
    PAYLOAD = 712
    MODE = 713


class Severity(StrEnum):
    """An error means that the model does not run there as it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding."""

    code: Code
    severity: Severity
    subject: str
    """The layer or operator; empty when it is the model."""
    message: str
    suggestion: str


def error(code: Code, subject: str, message: str, suggestion: str) -> Diagnostic:
    """What keeps the model from running."""
    return Diagnostic(code=code, severity=Severity.ERROR, subject=subject, message=message, suggestion=suggestion)


def warning(code: Code, subject: str, message: str, suggestion: str) -> Diagnostic:
    """What costs time."""
    return Diagnostic(code=code, severity=Severity.WARNING, subject=subject, message=message, suggestion=suggestion)
