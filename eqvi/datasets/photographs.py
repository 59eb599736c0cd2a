"""Pictures to render clips from: the photographs of scikit-image's wheel, and procedural ones.

Some are for training and others for validation, and none is for both, so that a model trained on rendered clips is
never scored on a picture that it has seen.
"""

import functools
from typing import Literal, NamedTuple, get_args

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.datasets.textures import SIDE, Kind, procedural
from eqvi.errors import InputError

Split = Literal["train", "val"]

#: Photographs (and grey textures) that lie inside scikit-image's wheel: nothing is downloaded.
PHOTOGRAPHS = (
    "astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "immunohistochemistry",
    "brick", "grass", "gravel", "camera", "clock", "coins", "moon", "motorcycle",
)  # fmt: skip

#: Who may use which. In neither: `motorcycle`, which its makers do not want spread, and `clock`, itself blurred.
SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("astronaut", "hubble_deep_field", "immunohistochemistry", "retina", "brick", "gravel", "camera", "moon"),
    "val": ("chelsea", "coffee", "rocket", "grass", "coins"),
}


class StereoPair(NamedTuple):
    """Two views of a motionless scene and the true flow between them.

    Attributes:
        left, right: (1, 3, H, W), RGB in [0, 1].
        flow: flow from left to right (1, 2, H, W) in pixels: minus the disparity in x, nothing in y.
        known: bool (1, 1, H, W): the disparity was measured here; the flow is 0 elsewhere.
    """

    left: Tensor
    right: Tensor
    flow: Tensor
    known: Tensor


def photograph(name: str) -> Float[Tensor, "1 3 h w"]:
    """A picture, RGB in [0, 1]; grey ones get three equal channels.

    Args:
        name: one of `PHOTOGRAPHS`, or ``KIND:SEED`` for a procedural picture, as in ``leaves:7``.

    Raises:
        InputError: there is no such picture.
    """
    kind, colon, seed = name.partition(":")
    if colon and seed.isascii() and seed.isdigit():
        return procedural(kind, int(seed))  # type: ignore[arg-type] # refuses a kind that it does not know
    if name not in PHOTOGRAPHS:
        raise InputError(f"photograph {name!r} is not known: choose one of {', '.join(PHOTOGRAPHS)}")
    if name == "motorcycle":
        return stereo_pair().left
    return _to_tensor(getattr(skimage.data, name)())


@functools.lru_cache
def photograph_size(name: str) -> tuple[int, int]:
    """(height, width) of a picture in pixels, without drawing a procedural one.

    Raises:
        InputError: there is no such picture.
    """
    if name.partition(":")[0] in get_args(Kind):
        return SIDE, SIDE
    height, width = photograph(name).shape[-2:]
    return height, width


def stereo_pair() -> StereoPair:
    """Middlebury 2014's `motorcycle` as scikit-image carries it (Scharstein et al., GCPR 2014)."""
    left, right, disparity = skimage.data.stereo_motorcycle()
    known = torch.from_numpy(np.isfinite(disparity))[None, None]
    across = torch.from_numpy(np.where(np.isfinite(disparity), -disparity, 0).astype(np.float32))[None, None]
    return StereoPair(_to_tensor(left), _to_tensor(right), torch.cat([across, torch.zeros_like(across)], 1), known)


def resample(picture: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c p q"]:
    """Bicubic and antialiased, to (height, width), clamped to [0, 1]."""
    return F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def _to_tensor(picture: np.ndarray) -> Float[Tensor, "1 3 h w"]:
    colours = np.broadcast_to(picture[..., None], (*picture.shape, 3)) if picture.ndim == 2 else picture
    return torch.from_numpy(np.array(colours, dtype=np.float32) / 255).permute(2, 0, 1)[None].contiguous()
