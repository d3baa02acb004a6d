"""What an IoT hub says when it refuses."""

from __future__ import annotations

import json

from windtunnel.jsontypes import as_object, as_str


def said_of(text: str, reason: str) -> tuple[str | None, str]:
    """Code and sentence of a hub's error: JSON, whose ``Message`` may be JSON again (wire-iot 4.1)."""
    try:
        found = as_object(json.loads(text))
    except ValueError:
        return None, text.strip()[:500] or reason
    message = as_str(found.get("Message")) or as_str(found.get("message"))
    try:
        inner = as_object(json.loads(message))
    except ValueError:
        inner = {}
    if inner:
        number = inner.get("errorCode")
        return str(number) if number is not None else None, as_str(inner.get("message")) or message
    return None, message or reason


def sentence_of(text: str) -> str:
    """Of an error of a device's control API."""
    try:
        found = as_object(json.loads(text))
    except ValueError:
        return text.strip()[:500]
    error = as_object(found.get("error"))
    return as_str(error.get("message")) or as_str(found.get("message")) or as_str(found.get("error")) or text[:500]
