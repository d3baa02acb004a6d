"""Pictures: the same numbers as Microsoft's ``preprocess_array`` gave under TensorFlow, and refusals.

``data/preprocess_array.npz`` has nine small pictures made from random numbers and, of what azureml-accel-models 1.62.0
made of each with TensorFlow 2.16.2, the SHA-256; of those that are JPEG also every eighth pixel.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from windtunnel_emulators.brainwave.service.images import preprocessed
from windtunnel_emulators.brainwave.service.refusals import Refused, Status

GOLDEN = Path(__file__).parent / "data" / "preprocess_array.npz"
JPEG_LEVELS = 5.0
"""How far the decoders of Pillow and of TensorFlow are apart at most, after resizing; seen: 4.7."""


def names(kind: str) -> list[str]:
    with np.load(GOLDEN) as golden:
        return sorted(n.removesuffix(".file") for n in golden.files if n.startswith(kind) and n.endswith(".file"))


@pytest.mark.parametrize("name", names("png"))
def test_a_png_becomes_what_tensorflow_made_of_it_bit_for_bit(name: str) -> None:
    with np.load(GOLDEN) as golden:
        content, digest = golden[f"{name}.file"].tobytes(), golden[f"{name}.sha256"].tobytes()
    found = np.ascontiguousarray(preprocessed(content), dtype="<f4")
    assert found.shape == (224, 224, 3)
    assert hashlib.sha256(found.tobytes()).digest() == digest


@pytest.mark.parametrize("name", names("jpeg"))
def test_a_jpeg_is_near_for_decoders_differ(name: str) -> None:
    with np.load(GOLDEN) as golden:
        content, wanted = golden[f"{name}.file"].tobytes(), golden[f"{name}.every8"]
    difference = np.abs(preprocessed(content)[::8, ::8] - wanted)
    assert difference.max() <= JPEG_LEVELS
    assert difference.mean() < 1.5


def gif() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "GIF")
    return out.getvalue()


def half_a_png() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    return out.getvalue()[:200]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "0 bytes"), (b"wings", "neither PNG nor JPEG"), (gif(), "neither PNG nor JPEG"), (half_a_png(), "decoded")],
    ids=["empty", "text", "gif", "half"],
)
def test_what_is_no_picture_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        preprocessed(content)
    assert refused.value.status is Status.INVALID_ARGUMENT


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.new("L", (9000, 8000)).save(out, "PNG")
    with pytest.raises(Refused, match="more than"):
        preprocessed(out.getvalue())
