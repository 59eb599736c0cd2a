"""Small folders in the layout of REDS_VTSR."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import coffee


def frame(clip: int, position: int, size: tuple[int, int] = (80, 64)) -> np.ndarray:
    """A photograph that slides by about half a pixel a position, faster and faster."""
    width, height = size
    x, y = 40 * (clip % 6) + position // 2 + position * position // 300, 30 + 7 * (clip % 6) + position // 8
    return coffee()[y : y + height, x : x + width].copy()


def write_reds(
    root: Path,
    clips: Sequence[str] = ("000", "001"),
    rates: Sequence[int] = (15, 30, 60),
    inputs: int = 6,
    size: tuple[int, int] = (80, 64),
) -> Path:
    """Validation clips at several rates, `inputs` frames each at 15 a second."""
    for number, clip in enumerate(clips):
        for rate in rates:
            folder = root / "val" / f"val_{rate}fps" / clip
            folder.mkdir(parents=True)
            for position in range(0, 8 * (inputs - 1) + 1, 120 // rate):
                Image.fromarray(frame(number, position, size)).save(folder / f"{position:08d}.png", compress_level=1)
    return root
