"""Procedural pictures: as many as there are seeds, where photographs are few.

Each is drawn from its kind and seed alone, on the CPU, so it is the same everywhere.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqvi.errors import InputError

Kind = Literal["leaves", "clouds", "weave"]

#: Height and width of every procedural picture, pixels.
SIDE = 384


def procedural(kind: Kind, seed: int) -> Float[Tensor, "1 3 h w"]:
    """A picture of `SIDE` x `SIDE`, RGB in [0, 1].

    Args:
        kind: ``leaves``, overlapping discs of all sizes, whose statistics are those of natural scenes (dead leaves
            model, Lee, Mumford and Huang 2001); ``clouds``, coloured noise with a spectrum of 1/f; ``weave``, two
            crossed waves, periodic and so ambiguous to optical flow.
        seed: which picture.

    Raises:
        InputError: another kind.
    """
    if kind not in get_args(Kind):
        raise InputError(f"procedural picture {kind!r} is not known: choose one of {', '.join(get_args(Kind))}")
    draw = torch.Generator().manual_seed(seed)
    return {"leaves": _leaves, "clouds": _clouds, "weave": _weave}[kind](draw).clamp(0, 1)


def _clouds(draw: torch.Generator) -> Tensor:
    frequency = torch.fft.fftfreq(SIDE)[:, None].hypot(torch.fft.rfftfreq(SIDE)[None])
    spectrum = torch.fft.rfft2(torch.randn(1, 3, SIDE, SIDE, generator=draw)) / frequency.clamp_min(2 / SIDE)
    noise = torch.fft.irfft2(spectrum, s=(SIDE, SIDE))
    noise = noise / noise.std(dim=(2, 3), keepdim=True)
    # Mostly brightness, some colour; a middle grey of its own for each picture.
    mixed = 0.75 * noise[:, :1] + 0.35 * noise
    return 0.3 + 0.4 * torch.rand(1, 3, 1, 1, generator=draw) + 0.17 * mixed


def _leaves(draw: torch.Generator) -> Tensor:
    picture = _clouds(draw)
    number, low, high = 500, 4.0, 60.0
    # Radii with a density of 1/r^3, drawn by its inverse, the largest discs first so that none hides all others.
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
        picture[0, :, top:bottom, left:right].lerp_(colour, cover.expand(3, -1, -1))
    return picture + F.avg_pool2d(grain, 3, 1, 1)


def _weave(draw: torch.Generator) -> Tensor:
    angle = math.pi * torch.rand(1, generator=draw)
    lengths = 16 + 48 * torch.rand(2, generator=draw)
    low, high = torch.rand(2, 1, 3, 1, 1, generator=draw)
    x, y = torch.arange(SIDE).expand(SIDE, SIDE), torch.arange(SIDE)[:, None].expand(SIDE, SIDE)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    waves = torch.sin(2 * math.pi * along / lengths[0]) * torch.sin(2 * math.pi * across / lengths[1])
    return torch.lerp(low, high, (0.5 + 1.5 * waves).clamp(0, 1)[None, None]) + 0.3 * (_clouds(draw) - 0.5)
