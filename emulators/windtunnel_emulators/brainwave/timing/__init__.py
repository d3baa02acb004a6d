"""Timing: closed forms, a chain-level engine, the request's time line and a queue in virtual time."""

from __future__ import annotations
