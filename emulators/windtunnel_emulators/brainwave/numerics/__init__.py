"""What the device computes: block floating point, emulated bit for bit by onnxruntime.

Weights are rounded once; in front of every matrix product a few inserted ONNX nodes round the activations. A slow
reference (``reference``) says what is right, and the tests hold the fast way to it.
"""

from __future__ import annotations

from windtunnel_emulators.brainwave.numerics.emulation import Emulated, Numerics, emulate
from windtunnel_emulators.brainwave.numerics.formats import PRESETS, BlockFormat, preset
from windtunnel_emulators.brainwave.numerics.running import Session

__all__ = ["PRESETS", "BlockFormat", "Emulated", "Numerics", "Session", "emulate", "preset"]
