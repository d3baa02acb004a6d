"""A simulator of Microsoft's Project Brainwave NPU: what a model costs on it, and whether it fits.

A library that stands alone: nothing here knows of Azure, and nothing of it is imported when the emulators start.
Every latency it states is a model's output and carries the model's error; numbers whose source is weak (confidence
C or D) are shown as assumptions, never as facts.
"""

from __future__ import annotations
