"""How pictures as people have them become images of one size: by a stated rule, or not at all."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from pipeline.seeds import pixels
from pipeline.seeds.pixels import Converted

Resize = Literal["never", "crop", "pad", "stretch"]
Background = Literal["none", "black", "white"]
Shape = tuple[int, int, int]

_LEVELS = {"black": 0, "white": 255}
_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV")  # modes of photographs that Pillow takes to RGB
_ORIENTATION = 0x0112  # the EXIF tag that tells how a camera was held
_ON_ITS_SIDE = (5, 6, 7, 8)
_FILTER = Image.Resampling.LANCZOS

_RULES = {
    "crop": "the longer side cut at both ends",
    "pad": "black added at both ends of the shorter side",
    "stretch": "each side by its own factor",
}


@dataclasses.dataclass(frozen=True)
class Fitting:
    """How a picture is brought to the size and the channels of all.

    Attributes:
      resize: "never" takes pictures of the right size alone, as they are. Otherwise a picture is turned as its EXIF
        orientation says, converted to the channels of most, and resized (Lanczos): by cutting, padding or stretching.
      size: (height, width) in pixels; () for that of most pictures. Only with `resize`.
      background: what stands behind transparent pixels; "none": such a picture is not used.
    """

    resize: Resize = "never"
    size: tuple[int, ...] = ()
    background: Background = "none"

    @property
    def fits_all(self) -> bool:
        """Whether pictures of any size and of other channels are used."""
        return self.resize != "never"

    @property
    def rule(self) -> str:
        """By which rule an image is resized, in words; only with `resize`."""
        return f"{self.resize}: {_RULES[self.resize]}; Lanczos"

    def told(self) -> dict[str, str]:
        """Returns the rule in words, for the record; nothing of what is as it is by default."""
        told = {}
        if self.fits_all:
            told["resize"] = f"turned by EXIF, then {self.rule}"
        if self.background != "none":
            told["background"] = f"{self.background} behind transparent pixels"
        return told

    def shape(self, picture: Image.Image) -> tuple[Shape | None, str]:
        """Returns the shape (H, W, C) that a picture has before it is resized, or None and why it cannot be used.

        Decodes nothing.
        """
        channels, reason = pixels.channels(picture)
        if self.fits_all and picture.mode in _COLOURS:
            channels, reason = 3, ""
        if reason:
            return None, reason
        height, width = picture.height, picture.width
        if self.fits_all and picture.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
            height, width = width, height
        return (height, width, channels), ""

    def whole(self, shape: Shape) -> Shape:
        """Returns the shape that all images have, from that which most pictures have."""
        height, width = self.size or shape[:2]
        return height, width, shape[2]

    def image(self, picture: Image.Image, shape: Shape) -> Converted:
        """Returns a picture as an image of a shape, uint8; or why it cannot be used. Raises what Pillow raises.

        Without `resize` the image keeps its own shape.
        """
        if self.fits_all:
            picture = ImageOps.exif_transpose(picture)
        if self.background != "none":
            picture = _flattened(picture, _LEVELS[self.background])
        if self.fits_all and picture.mode in _COLOURS:
            picture = picture.convert("RGB")
        image, reason = pixels.of_picture(picture)
        if reason or not self.fits_all:
            return image, reason
        return self.resized(image, shape), ""

    def resized(self, image: np.ndarray, shape: Shape) -> np.ndarray:
        """Returns an image, uint8 `[h, w, 1 or 3]`, as one of a shape (H, W, C), uint8; only with `resize`."""
        picture, size = _with_channels(image, shape[2]), (shape[1], shape[0])  # Pillow's: width first
        if picture.size != size:
            resized = {
                "crop": lambda: ImageOps.fit(picture, size, _FILTER),
                "pad": lambda: ImageOps.pad(picture, size, _FILTER),
                "stretch": lambda: picture.resize(size, _FILTER),
            }
            picture = resized[self.resize]()
        return np.asarray(picture).reshape(shape)


AS_IS = Fitting()


def _flattened(picture: Image.Image, level: int) -> Image.Image:
    """Puts a picture that may have transparent pixels on a grey level."""
    if not picture.has_transparency_data:
        return picture
    mode = "LA" if picture.mode in ("1", "L", "LA") else "RGBA"
    shown = picture.convert(mode)
    behind = Image.new(mode, shown.size, (level,) * (len(mode) - 1) + (255,))
    return Image.alpha_composite(behind, shown).convert(mode[:-1])


def _with_channels(image: np.ndarray, channels: int) -> Image.Image:
    """Returns an image `[H, W, 1 or 3]` as a picture of so many channels; colour becomes its luma (ITU-R 601)."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return picture.convert("L" if channels == 1 else "RGB")
