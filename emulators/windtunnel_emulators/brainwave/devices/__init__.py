"""Devices as data: one TOML file each, every number with its source and the confidence in it."""

from __future__ import annotations

from windtunnel_emulators.brainwave.devices.device import Device, Kind
from windtunnel_emulators.brainwave.devices.loading import load_device, names
from windtunnel_emulators.brainwave.devices.quantity import Confidence, Quantity

__all__ = ["Confidence", "Device", "Kind", "Quantity", "load_device", "names"]
