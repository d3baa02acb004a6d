"""What the Brainwave simulator raises on purpose, each with a way out.

BrainwaveError
+-- BadModel             the file is no ONNX model, is damaged, or has nothing that the device could run
|   +-- OpenShape        a dimension that has no number
+-- BadDevice            a device that is not known, or a device file that breaks a rule
+-- BadOption            any other value of the caller's
+-- NotAvailable         a part of the simulator that this installation does not have
"""

from __future__ import annotations


class BrainwaveError(Exception):
    """The base: ``str(error)`` says what failed and with which value, ``way_out`` what can be done about it."""

    def __init__(self, message: str, *, way_out: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out


class BadModel(BrainwaveError):
    """A model that cannot be read or has nothing for the device."""


class OpenShape(BadModel):
    """A dimension that has no number where the device needs one."""


class BadDevice(BrainwaveError):
    """A device that is not known, or a device file that breaks a rule."""


class BadOption(BrainwaveError):
    """A value of the caller's that breaks a rule."""


class NotAvailable(BrainwaveError):
    """A part of the simulator that is not installed."""
