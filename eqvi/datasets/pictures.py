"""The pictures that training windows show: photographs, and cut-outs with an alpha channel.

They come from a folder, as ``python -m eqvi pictures`` fills one or of a user's own: a picture with transparent parts
is a cut-out, any other a photograph to stand behind or to cut pieces from. Without a folder the photographs of
`eqvi.datasets.photographs` serve. Each belongs to training or to validation by its name alone.
"""

import functools
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from eqvi.datasets.photographs import SPLITS, Split, photograph, procedural
from eqvi.errors import InputError
from eqvi.metrics import to_8bit

#: Pictures whose shorter side has fewer pixels are left out: enlarged, they would be blurred.
SMALLEST = {"photograph": 192, "cutout": 48}
#: Larger pictures are reduced to this longer side, pixels.
LARGEST = {"photograph": 1600, "cutout": 640}

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
_TRANSPARENT = 0.02  # share of the pixels that makes a picture a cut-out
_VALIDATION = 8  # one picture in so many
_PROCEDURAL = 12  # images of each kind where there is no folder

Pyramid = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Pictures:
    """Pictures to render windows from, each as a pyramid: itself, half of its size, a quarter, ...

    Attributes:
        photographs: uint8 (H, W, 3), RGB.
        cutouts: uint8 (H, W, 4), RGB and alpha.
        record: where they are from and a hash of their names and pixels, for the record of a run.
    """

    photographs: tuple[Pyramid, ...]
    cutouts: tuple[Pyramid, ...]
    record: dict[str, Any]

    def photograph(self, draw: random.Random) -> Pyramid:
        """Any photograph."""
        return draw.choice(self.photographs)

    def cutout(self, draw: random.Random) -> Pyramid | None:
        """Any cut-out; None if there is none."""
        return draw.choice(self.cutouts) if self.cutouts else None


def load_pictures(folder: Path | None, split: Split = "train") -> Pictures:
    """The pictures of a folder and its subfolders, or those of scikit-image's wheel if there is no folder.

    Raises:
        InputError: the folder is not there, or has no photograph of the split that is large enough.
    """
    if folder is None:
        return _own_pictures(split)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder of pictures: `python -m eqvi pictures` makes one, or leave it out")
    photographs: dict[str, list[np.ndarray]] = {}
    cutouts: list[np.ndarray] = []
    small = others = 0
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
        if picture_split(path.stem) != split:
            others += 1
            continue
        image = read_picture(path)
        if image is None:
            continue
        kind = "cutout" if image.shape[2] == 4 else "photograph"
        if min(image.shape[:2]) < SMALLEST[kind]:
            small += 1
        elif kind == "cutout":
            cutouts.append(shrink(image, LARGEST[kind]))
        else:
            photographs.setdefault(folder.resolve().name, []).append(shrink(image, LARGEST[kind]))
    if not photographs:
        why = f"{small} are smaller than {SMALLEST['photograph']} pixels" if small else "none can be read"
        raise InputError(f"{folder}: has no photograph for {split} ({why}; {others} belong to the other split)")
    return _pictures(photographs, cutouts, split)


@functools.cache
def _own_pictures(split: Split) -> Pictures:
    """Those that need no folder; drawing them takes seconds."""
    images = [to_8bit(photograph(name)) for name in SPLITS[split]]
    seeds = range(split == "val", 2 * _PROCEDURAL, 2)
    drawn = [to_8bit(procedural(kind, seed)) for kind in ("leaves", "clouds") for seed in seeds]
    return _pictures({f"photographs of scikit-image and procedural ones, {split}": [*images, *drawn]}, [], split)


def picture_split(name: str) -> Split:
    """The split of a picture by its file's name, without suffix: one in eight is for validation."""
    return "val" if hashlib.sha256(name.encode()).digest()[0] % _VALIDATION == 0 else "train"


def read_picture(path: Path) -> np.ndarray | None:
    """uint8 (H, W, 3), or (H, W, 4) where parts of it are transparent; None if the file is no picture."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    if image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    if image.shape[2] == 4 and (image[..., 3] < 128).mean() > _TRANSPARENT:
        return np.ascontiguousarray(image[..., [2, 1, 0, 3]])
    return np.ascontiguousarray(image[..., 2::-1])


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """The image with its longer side at most `longest` pixels."""
    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(1, round(factor * side)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _pictures(photographs: dict[str, list[np.ndarray]], cutouts: list[np.ndarray], split: Split) -> Pictures:
    (source, images), *_ = photographs.items()
    digest = hashlib.sha256()
    for image in (*images, *cutouts):
        digest.update(str(image.shape).encode() + image.tobytes())
    record = {
        "source": source,
        "split": split,
        "photographs": len(images),
        "cutouts": len(cutouts),
        "sha256": digest.hexdigest(),
    }
    return Pictures(tuple(map(_pyramid, images)), tuple(map(_pyramid, cutouts)), record)


def _pyramid(image: np.ndarray) -> Pyramid:
    levels = [image]
    while min(levels[-1].shape[:2]) > 128:
        height, width = (side // 2 for side in levels[-1].shape[:2])
        levels.append(cv2.resize(levels[-1], (width, height), interpolation=cv2.INTER_AREA))
    return tuple(levels)
