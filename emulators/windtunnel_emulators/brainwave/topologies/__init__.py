"""The networks of the service, as graphs without weights: what the model is checked on, built by a script."""

from __future__ import annotations

from windtunnel_emulators.brainwave.topologies.recurrent import recurrent
from windtunnel_emulators.brainwave.topologies.resnet import resnet50
from windtunnel_emulators.brainwave.topologies.vgg import vgg16

__all__ = ["recurrent", "resnet50", "vgg16"]
