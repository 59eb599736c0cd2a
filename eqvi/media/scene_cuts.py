"""Where one shot ends and another begins.

Two frames belong together if motion explains one from the other. Both are shrunk to about 9000 pixels of grey, the flow
between them is estimated (OpenCV's DIS), and what remains after warping is set against the contrast of the picture.
Pans and fast objects are motion, so they do not count; a change of exposure shifts the mean, which is left out too.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from eqvi.media.image import Image

#: Share of a frame that motion leaves unexplained from which on two frames are two shots. Measured on
#: ``../shared/clips`` (all 1421 pairs of neighbours, 560 pairs from different clips or cameras): neighbours reach 0.12
#: at most, frames 4 apart 0.28, 8 apart 0.39; the closest pair of different shots has 0.58.
THRESHOLD = 0.5

_AREA = 9216
# Contrast, in grey levels, below which differences are noise rather than content.
_FLOOR = 2.0


def thumbnail(picture: Image) -> NDArray[np.uint8]:
    """`picture` as 8-bit grey with about 9000 pixels, its shape kept."""
    width, height = picture.size
    scale = math.sqrt(_AREA / (width * height))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    colour = picture.pixels[..., :-1] if picture.has_alpha else picture.pixels
    small = cv2.resize(np.ascontiguousarray(colour), size, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return (grey / (257 if grey.dtype == np.uint16 else 1)).astype(np.uint8)


def unexplained(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Share of the thumbnail `a` that motion towards `b` leaves unexplained: 0 is nothing, about 1 is unrelated."""
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    flow = search.calc(a, b, None)
    height, width = a.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    rest = cv2.remap(b, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) - a
    contrast = np.abs(a - a.mean()).mean() + _FLOOR
    return float(np.abs(rest - rest.mean()).mean() / contrast)


def is_cut(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether the thumbnails `a` and `b` are of different shots: neither explains the other.

    One way is not enough: what an object uncovers cannot be found in the frame where it is still hidden.
    """
    return unexplained(a, b) > THRESHOLD and unexplained(b, a) > THRESHOLD
