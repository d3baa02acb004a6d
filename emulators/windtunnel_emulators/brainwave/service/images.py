"""Pictures as the service takes them: PNG or JPEG bytes, made into what an ImageNet network expects.

The rules are those of azureml-accel-models' ``preprocess_array``, in numpy and bit for bit: the shorter side becomes
256 (bilinear as TensorFlow 1 had it: corners not aligned, no half-pixel centres), the middle is cut out, the channels'
means are subtracted. PNG decodes to the same pixels. JPEG decoders differ by a few levels, and TensorFlow's is not that
of Pillow.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from windtunnel_emulators.brainwave.service.refusals import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 224
_SHORTER = 256
_MEANS = np.array([123.68, 116.779, 103.939], np.float32)
_MOST_PIXELS = 64_000_000
_FORMATS = ("PNG", "JPEG")


def preprocessed(content: bytes, *, side: int = SIDE) -> NDArray[np.float32]:
    """[side, side, 3] in RGB. Raises ``Refused`` for what is no picture."""
    pixels = decoded(content).astype(np.float32)
    height, width = pixels.shape[:2]
    # In float32 and truncated, as TensorFlow computes it: 256 may become 255.
    scale = np.float32(_SHORTER) / np.float32(width if height > width else height)
    new_height, new_width = int(np.float32(height) * scale), int(np.float32(width) * scale)
    if min(new_height, new_width) < side:
        raise Refused(f"a picture of {width} by {height} pixels cannot be resized to {side} by {side}")
    resized = _resized(pixels, new_height, new_width)
    top, left = int((new_height - side) / 2), int((new_width - side) / 2)
    cut = resized[top : top + side, left : left + side]
    return cut - _MEANS


def decoded(content: bytes) -> NDArray[np.uint8]:
    """[height, width, 3]."""
    if not content:
        raise Refused("the picture has 0 bytes", way_out="Send the bytes of a PNG or JPEG file.")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise Refused(
                    f"the picture has {picture.width} by {picture.height} pixels: more than {_MOST_PIXELS:,}",
                    way_out="Make it smaller: it is resized to 256 pixels anyway.",
                )
            return np.asarray(_opaque(picture).convert("RGB"), np.uint8)
    except UnidentifiedImageError as problem:
        raise Refused(
            f"the picture ({len(content)} bytes) is neither PNG nor JPEG", way_out="Convert it to one of the two."
        ) from problem
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise Refused(
            f"the picture ({len(content)} bytes) cannot be decoded: {problem}", way_out="Check the file."
        ) from problem


def _opaque(picture: Image.Image) -> Image.Image:
    """Pixels of 16 bits keep their upper half, as ``decode_png`` has it; Pillow would clip them."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture, np.uint32) >> 8).astype(np.uint8))
    return picture


def _resized(pixels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """TensorFlow 1's ``resize_bilinear``: columns first, then rows."""
    top, bottom, down = _places(pixels.shape[0], height)
    left, right, across = _places(pixels.shape[1], width)
    across, down = across[None, :, None], down[:, None, None]
    upper, lower = pixels[top], pixels[bottom]
    above = upper[:, left] + (upper[:, right] - upper[:, left]) * across
    below = lower[:, left] + (lower[:, right] - lower[:, left]) * across
    return np.asarray(above + (below - above) * down, np.float32)


def _places(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Where each new pixel lies: the old one before, the one after, and how far between."""
    scale = np.float32(old) / np.float32(new)
    at = np.arange(new, dtype=np.float32) * scale
    before = np.floor(at)
    lower = before.astype(np.int64)
    return lower, np.minimum(lower + 1, old - 1), at - before
