"""A stand-in for RCSN's context convolution where no trained ResNet-18 is at hand: a fixed bank of cosine filters.

The published model takes the first convolution of an ImageNet ResNet-18, which has to be downloaded. What it passes on
is edges and textures of several orientations and colours; the low frequencies of the discrete cosine transform, of
brightness first and of two colour differences after, do that without training. This is ours, not the paper's.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_SIDE = 7
# Brightness and two colour differences, orthonormal; colour counts as this many steps of frequency higher.
_COLOURS = (((1, 1, 1), 3, 0.0), ((1, 0, -1), 2, 2.0), ((1, -2, 1), 6, 2.0))


def cosine_filters(channels: int) -> Float[Tensor, "c 3 7 7"]:
    """The `channels` lowest of 147 orthonormal filters, as weights of a convolution from RGB."""
    places = torch.arange(_SIDE) + 0.5
    waves = [torch.cos(math.pi * k * places / _SIDE) * math.sqrt((1 if k == 0 else 2) / _SIDE) for k in range(_SIDE)]
    found = []
    for colour, square, handicap in _COLOURS:
        mix = torch.tensor(colour) / math.sqrt(square)
        for down, wave_y in enumerate(waves):
            for across, wave_x in enumerate(waves):
                found.append((math.hypot(down, across) + handicap, mix[:, None, None] * wave_y[:, None] * wave_x))
    found.sort(key=lambda pair: pair[0])
    return torch.stack([kernel for _, kernel in found[:channels]])
