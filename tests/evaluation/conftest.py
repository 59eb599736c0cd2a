"""Small inputs of an evaluation: a clip, and a folder laid out like REDS_VTSR."""

from pathlib import Path

import pytest
from reds_copy import write_sliding
from skimage.data import coffee

from eqvi.media.image import Image
from eqvi.media.image_files import write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine frames of a photograph that slides by (4, 1) pixels a frame."""
    clip = tmp_path / "slide"
    clip.mkdir()
    for k in range(9):
        write_image(clip / f"{k:03}.png", Image(coffee()[100 + k : 196 + k, 100 + 4 * k : 228 + 4 * k].copy()))
    return clip


@pytest.fixture
def reds(tmp_path: Path) -> Path:
    return write_sliding(tmp_path / "reds")
