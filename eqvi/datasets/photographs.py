"""Images to render clips from: the photographs of scikit-image's wheel, and procedural ones.

Each belongs to training or to validation, never to both, so that a model is never scored on an image that it was
trained on. Procedural images are drawn on the CPU from their kind and seed alone, so they are the same everywhere.
"""

import functools
import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError

Split = Literal["train", "val"]
ProceduralKind = Literal["leaves", "clouds", "weave"]

#: Height and width of a procedural image, pixels.
SIDE = 384

#: Photographs and grey textures inside scikit-image's wheel: nothing is downloaded.
PHOTOGRAPHS = (
    "astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "immunohistochemistry",
    "brick", "grass", "gravel", "camera", "clock", "coins", "moon", "motorcycle",
)  # fmt: skip

#: The photographs of each split. In neither: `motorcycle`, which may not be redistributed, and `clock`, itself blurred.
SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("astronaut", "hubble_deep_field", "immunohistochemistry", "retina", "brick", "gravel", "camera", "moon"),
    "val": ("chelsea", "coffee", "rocket", "grass", "coins"),
}


class StereoPair(NamedTuple):
    """Two views of a still scene and the true flow between them.

    Attributes:
        left, right: (1, 3, H, W), RGB in [0, 1].
        flow: flow from left to right (1, 2, H, W) in pixels: minus the disparity in x, zero in y.
        known: bool (1, 1, H, W): where the disparity was measured; the flow is 0 elsewhere.
    """

    left: Tensor
    right: Tensor
    flow: Tensor
    known: Tensor


def photograph(name: str) -> Float[Tensor, "1 3 h w"]:
    """An image, RGB in [0, 1]; a grey one is repeated in three channels.

    Args:
        name: one of `PHOTOGRAPHS`, or ``KIND:SEED`` for a procedural image, as in ``leaves:7``.

    Raises:
        InputError: there is no such image.
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
    """(height, width) of an image in pixels; a procedural one is not drawn for it.

    Raises:
        InputError: there is no such image.
    """
    if name.partition(":")[0] in get_args(ProceduralKind):
        return SIDE, SIDE
    height, width = photograph(name).shape[-2:]
    return height, width


def stereo_pair() -> StereoPair:
    """Middlebury 2014's `motorcycle` from scikit-image (Scharstein et al., GCPR 2014)."""
    left, right, disparity = skimage.data.stereo_motorcycle()
    known = torch.from_numpy(np.isfinite(disparity))[None, None]
    across = torch.from_numpy(np.where(np.isfinite(disparity), -disparity, 0).astype(np.float32))[None, None]
    return StereoPair(_to_tensor(left), _to_tensor(right), torch.cat([across, torch.zeros_like(across)], 1), known)


def resample(image: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c p q"]:
    """Bicubic antialiased resampling to (height, width), clamped to [0, 1]."""
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def procedural(kind: ProceduralKind, seed: int) -> Float[Tensor, "1 3 h w"]:
    """An image of `SIDE` x `SIDE`, RGB in [0, 1].

    Args:
        kind: ``leaves``, overlapping discs with the statistics of natural scenes (dead leaves model, Lee, Mumford and
            Huang 2001); ``clouds``, coloured noise with a spectrum of 1/f; ``weave``, two crossed waves, periodic and
            so ambiguous to optical flow.
        seed: which image.

    Raises:
        InputError: another kind.
    """
    kinds = {"leaves": _leaves, "clouds": _clouds, "weave": _weave}
    if kind not in kinds:
        raise InputError(f"procedural picture {kind!r} is not known: choose one of {', '.join(kinds)}")
    return kinds[kind](torch.Generator().manual_seed(seed)).clamp(0, 1)


def _clouds(draw: torch.Generator) -> Tensor:
    frequency = torch.fft.fftfreq(SIDE)[:, None].hypot(torch.fft.rfftfreq(SIDE)[None])
    spectrum = torch.fft.rfft2(torch.randn(1, 3, SIDE, SIDE, generator=draw)) / frequency.clamp_min(2 / SIDE)
    noise = torch.fft.irfft2(spectrum, s=(SIDE, SIDE))
    noise = noise / noise.std(dim=(2, 3), keepdim=True)
    # Mostly brightness, some colour, around a mean colour of its own.
    mixed = 0.75 * noise[:, :1] + 0.35 * noise
    return 0.3 + 0.4 * torch.rand(1, 3, 1, 1, generator=draw) + 0.17 * mixed


def _leaves(draw: torch.Generator) -> Tensor:
    image = _clouds(draw)
    number, low, high = 500, 4.0, 60.0
    # Radii with a density of 1/r^3, drawn by inversion; the largest discs first, so that none hides all others.
    share = torch.rand(number, generator=draw)
    radii = (1 / (low**-2 + share * (high**-2 - low**-2))).sqrt().sort(descending=True).values.tolist()
    centres = (SIDE * torch.rand(number, 2, generator=draw)).tolist()
    colours = torch.rand(number, 3, 1, 1, generator=draw)
    grain = 0.05 * torch.randn(1, 1, SIDE, SIDE, generator=draw)
    for radius, (x, y), colour in zip(radii, centres, colours, strict=True):
        left, right = max(0, math.floor(x - radius)), min(SIDE, math.ceil(x + radius) + 1)
        top, bottom = max(0, math.floor(y - radius)), min(SIDE, math.ceil(y + radius) + 1)
        across, down = torch.arange(left, right) - x, torch.arange(top, bottom) - y
        cover = (radius + 0.5 - across[None].hypot(down[:, None])).clamp(0, 1)
        image[0, :, top:bottom, left:right].lerp_(colour, cover.expand(3, -1, -1))
    return image + F.avg_pool2d(grain, 3, 1, 1)


def _weave(draw: torch.Generator) -> Tensor:
    angle = math.pi * torch.rand(1, generator=draw)
    lengths = 16 + 48 * torch.rand(2, generator=draw)
    low, high = torch.rand(2, 1, 3, 1, 1, generator=draw)
    x, y = torch.arange(SIDE).expand(SIDE, SIDE), torch.arange(SIDE)[:, None].expand(SIDE, SIDE)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    waves = torch.sin(2 * math.pi * along / lengths[0]) * torch.sin(2 * math.pi * across / lengths[1])
    return torch.lerp(low, high, (0.5 + 1.5 * waves).clamp(0, 1)[None, None]) + 0.3 * (_clouds(draw) - 0.5)


def _to_tensor(image: np.ndarray) -> Float[Tensor, "1 3 h w"]:
    colours = np.broadcast_to(image[..., None], (*image.shape, 3)) if image.ndim == 2 else image
    return torch.from_numpy(np.array(colours, dtype=np.float32) / 255).permute(2, 0, 1)[None].contiguous()
