"""Predictions over gRPC, as TensorFlow Serving and the FPGA service speak it."""

from __future__ import annotations
