"""How sure the model is: published results, the model's answers to them, and the errors that reports state."""

from __future__ import annotations
