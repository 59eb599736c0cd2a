"""Miniature copies of REDS_VTSR, in its exact layout: of noise, or of a photograph in motion."""

import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import coffee

SPACING = {15: 8, 30: 4, 60: 2}


def png(seed: int, size: tuple[int, int] = (16, 12)) -> bytes:
    """A PNG of noise of that (width, height)."""
    return _encode(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def frame(clip: int, position: int, size: tuple[int, int] = (80, 64)) -> np.ndarray:
    """A photograph that slides by about half a pixel a position, faster and faster."""
    width, height = size
    x, y = 40 * (clip % 6) + position // 2 + position * position // 300, 30 + 7 * (clip % 6) + position // 8
    return coffee()[y : y + height, x : x + width].copy()


def write_copy(
    root: Path,
    rates: Iterable[int] = (15, 30),
    clips: Sequence[str] = ("000", "001"),
    last: int = 360,
    split: str = "val",
    size: tuple[int, int] = (16, 12),
    picture: Callable[[int, int], bytes] | None = None,
) -> Path:
    """A copy whose clips run from position 0 to `last`; `picture` gives a PNG from clip number and position."""
    for number, clip in enumerate(clips):
        for rate in rates:
            folder = root / split / f"{split}_{rate}fps" / clip
            folder.mkdir(parents=True)
            for position in range(0, last + 1, SPACING[rate]):
                content = png(1000 * int(clip) + position, size) if picture is None else picture(number, position)
                (folder / f"{position:08d}.png").write_bytes(content)
    return root


def write_sliding(
    root: Path,
    clips: Sequence[str] = ("000", "001"),
    rates: Sequence[int] = (15, 30, 60),
    inputs: int = 6,
) -> Path:
    """A copy whose clips show `frame`, with `inputs` frames at 15 a second."""
    return write_copy(root, rates, clips, 8 * (inputs - 1), picture=lambda *place: _encode(frame(*place)))


def zipped(folder: Path, archive: Path, inside: str) -> Path:
    """`folder` as an archive whose entries begin with `inside`, as the published ones do."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, f"{inside}/{path.relative_to(folder).as_posix()}")
    return archive


def _encode(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
