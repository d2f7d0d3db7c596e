"""Seed images of any kind as uint8 images, grey or colour: by a stated rule, or not at all.

Each kind of value has a range, whose least value becomes 0 and whose largest 255. An image with transparent pixels is
not used, for nobody knows what is behind them; alpha that is opaque everywhere is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from models.errors import InputError

Converted = tuple[np.ndarray, str]  # uint8 [H, W, 1 or 3], and "" or why the image cannot be used

PICTURES = (
    "8 bits as they are, the upper 8 of 16 bits, 1 bit as 0 or 255, palettes as colours; nothing transparent, no CMYK, "
    "no 32-bit values; the first picture of an animation"
)

NOT_FINITE = "the image has NaN or infinity"
OUT_OF_RANGE = "the image has floating-point values outside 0 to 1"
TRANSPARENT = "the image has transparent pixels"

_NONE = np.zeros((0, 0, 0), np.uint8)


def _upper_byte(values: np.ndarray) -> Converted:
    return (values >> 8).astype(np.uint8), ""


def _of_unit_range(values: np.ndarray) -> Converted:
    """Takes values to the nearest of 256 levels; what is nearer to a level that there is not is out of range."""
    if not np.isfinite(values).all():
        return _NONE, NOT_FINITE
    levels = np.rint(values * 255)
    return (levels.astype(np.uint8), "") if levels.min() >= 0 and levels.max() <= 255 else (_NONE, OUT_OF_RANGE)


_RULES: dict[str, tuple[str, Callable[[np.ndarray], Converted]]] = {
    "uint8": ("uint8 as it is", lambda values: (values, "")),
    "uint16": ("the upper 8 bits of uint16", _upper_byte),
    "float32": ("float32 from 0 to 1, times 255, rounded", _of_unit_range),
}


def rule(dtype: Any) -> str:
    """Returns in words what `as_uint8` makes of values of a NumPy dtype; raises InputError if it takes none such."""
    name = np.dtype(dtype).name
    if name not in _RULES:
        raise InputError(f"images of {name} values are not read; expected {', '.join(_RULES)}.")
    return _RULES[name][0]


def kept_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns the shape (H, W, 1 or 3) of an image `[H, W, C]` without its alpha, which is the last of 2 or 4."""
    height, width, channels = shape
    return height, width, channels - 1 if channels in (2, 4) else channels


def as_uint8(image: np.ndarray) -> Converted:
    """Converts an image `[H, W, C]` by the rule of its dtype, and leaves out alpha, the last of 2 or 4 channels.

    Raises:
      InputError: there is no rule for the dtype.
    """
    rule(image.dtype)
    converted, reason = _RULES[image.dtype.name][1](image)
    if reason or image.shape[-1] not in (2, 4):
        return converted, reason
    return (converted[..., :-1], "") if (converted[..., -1] == 255).all() else (_NONE, TRANSPARENT)


# What each of Pillow's modes is converted to before its values are taken; Pillow itself takes 16-bit colours to their
# upper bytes. Conversions between other modes would clip values, or guess at colours.
_MODES = {
    **{"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"},
    **{mode: mode for mode in ("I;16", "I;16B", "I;16L", "I;16N")},
}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}


def channels(picture: Image.Image) -> tuple[int, str]:
    """Returns how many channels an opened picture is read with, 1 or 3; or 0 and why it cannot be used."""
    mode, reason = plain_mode(picture)
    return (0, reason) if reason else (3 if mode.startswith("RGB") else 1, "")


def plain_mode(picture: Image.Image) -> tuple[str, str]:
    """Returns Pillow's mode in which a picture's values are taken, and "" or why there is none; decodes nothing."""
    target = _MODES.get(picture.mode)
    if target and "transparency" in picture.info:  # one colour, or some of a palette's
        target = _WITH_ALPHA.get(target)
    clear = " with a transparent colour" if "transparency" in picture.info else ""
    told = f"the picture's mode is {picture.mode}{clear}, expected 8 or 16 bits of grey, or colour"
    return (target, "") if target else ("", told)


def of_picture(picture: Image.Image) -> Converted:
    """Converts a picture as `PICTURES` says; raises what Pillow raises if it cannot be decoded."""
    mode, reason = plain_mode(picture)
    if reason:
        return _NONE, reason
    values = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return as_uint8(values[..., None] if values.ndim == 2 else values)
