"""The operators that there are. A new one is a class like these and a line here, the default first."""

from __future__ import annotations

from pipeline.operators.affine import Affine
from pipeline.operators.geometric import Geometric
from pipeline.operators.photo import Photo
from pipeline.operators.photometric import Photometric
from pipeline.operators.pixel_swap import PixelSwap

OPERATORS = (Affine, PixelSwap, Geometric, Photometric, Photo)
