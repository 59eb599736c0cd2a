"""A folder of pictures to render from: photographs with detail, and a cut-out."""

from pathlib import Path

import cv2
import numpy as np

from eqvi.datasets.pictures import picture_split


def fill(folder: Path, photographs: int = 3, side: int = 256, validation: bool = False) -> Path:
    """Write smoothed noise as photographs and a disc as a cut-out, of the training split, or a photograph of either."""
    rng = np.random.default_rng(0)
    names = [name for name in (f"picture{number}" for number in range(60)) if picture_split(name) == "train"]
    others = [name for name in (f"picture{number}" for number in range(60)) if picture_split(name) == "val"]
    for name in names[:photographs] + others[:validation]:
        image = cv2.GaussianBlur(rng.uniform(0, 255, (side, side, 3)).astype(np.float32), (0, 0), 2)
        image = np.clip(128 + 6 * (image - image.mean()), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), image)
    y, x = np.mgrid[:80, :80] - 40
    disc = np.dstack([rng.integers(0, 255, (80, 80, 3)), 255 * (np.hypot(x, y) < 30)]).astype(np.uint8)
    cv2.imwrite(str(folder / f"{names[photographs]}.png"), disc)
    return folder
