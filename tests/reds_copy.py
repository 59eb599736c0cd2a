"""Miniature copies of REDS_VTSR, in its exact layout."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SPACING = {15: 8, 30: 4, 60: 2}


def png(seed: int, size: tuple[int, int] = (16, 12)) -> bytes:
    """A PNG of that (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_copy(
    root: Path,
    rates: Iterable[int] = (15, 30),
    clips: Sequence[str] = ("000", "001"),
    last: int = 360,
    split: str = "val",
    size: tuple[int, int] = (16, 12),
) -> Path:
    """A copy whose clips run from position 0 to `last`."""
    for clip in clips:
        pictures = {position: png(1000 * int(clip) + position, size) for position in range(0, last + 1, 2)}
        for rate in rates:
            folder = root / split / f"{split}_{rate}fps" / clip
            folder.mkdir(parents=True)
            for position in range(0, last + 1, SPACING[rate]):
                (folder / f"{position:08d}.png").write_bytes(pictures[position])
    return root


def zipped(folder: Path, archive: Path, inside: str) -> Path:
    """`folder` as an archive whose entries begin with `inside`, as the published ones do."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, f"{inside}/{path.relative_to(folder).as_posix()}")
    return archive
