"""What is sent for a prediction: the bytes of a request, from JSON, a ``.npy`` file, a picture or standard input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from windtunnel.errors import InvalidInput, NotFound

_NPY = b"\x93NUMPY"
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG files begin: what takes pictures takes them as they are."""


def read_payload(source: str) -> bytes:
    """The body of a request; ``-`` is standard input. Raises ``NotFound`` and ``InvalidInput``."""
    if source == "-":
        return payload_of(sys.stdin.buffer.read(), "standard input")
    path = Path(source)
    if not path.is_file():
        raise NotFound(f"there is no input file at {source!r}")
    return payload_of(path.read_bytes(), path.name)


def payload_of(content: bytes, name: str) -> bytes:
    """JSON and pictures stay as they are, an array becomes ``{"data": [...]}``."""
    if content.startswith(_NPY):
        return _array(content, name)
    if content.startswith(_PICTURES):
        return content
    if not content.strip():
        raise InvalidInput(f"{name} is empty", way_out='Give JSON such as {"data": [[1, 2, 3]]}, or a .npy file.')
    try:
        json.loads(content)
    except ValueError as error:
        raise InvalidInput(
            f"{name} is neither JSON nor a .npy file: {error}",
            way_out='Give JSON such as {"data": [[1, 2, 3]]}, or an array saved by numpy.save.',
        ) from error
    return content


def _array(content: bytes, name: str) -> bytes:
    import numpy as np  # lazily: 0.1 s

    try:
        # Without pickles: a file must not be able to run code here.
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InvalidInput(
            f"{name} is not a readable .npy file: {error}",
            way_out="Save an array of numbers, booleans or text with numpy.save(..., allow_pickle=False).",
        ) from error
    return json.dumps({"data": array.tolist()}).encode()
