"""Reports: one document for people and programs, pictures, a trace."""

from __future__ import annotations
