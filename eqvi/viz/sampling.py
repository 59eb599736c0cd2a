"""What is left of a wave that a warp samples between pixels: frequency response of the kernels, and figures of it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from eqvi.model.geometry import Kernel, sample_at

#: Pixels on either side that a kernel may reach.
_REACH = 4


def kernel_weights(kernel: Kernel, offset: float) -> Float[Tensor, " n"]:
    """The weights of the pixels at -`_REACH` .. `_REACH` in a sample at `offset`, measured on impulses."""
    count = 2 * _REACH + 1
    impulses = torch.eye(count)[:, None, None, :].expand(-1, 1, count, -1).contiguous()
    place = torch.tensor([_REACH + offset, _REACH]).view(2, 1, 1)
    return sample_at(impulses, place, kernel=kernel).view(count)


def kept(kernel: Kernel, frequency: Float[Tensor, " f"], offset: float = 0.5) -> Float[Tensor, " f"]:
    """The share of a wave's height that a sample at `offset` keeps; frequencies in cycles a pixel.

    |sum of w_k exp(2 pi i f k)|: at offset 1/2 of the bilinear kernel it is cos(pi f).
    """
    places = torch.arange(-_REACH, _REACH + 1).to(frequency)
    phases = 2 * math.pi * frequency[:, None] * places
    weights = kernel_weights(kernel, offset).to(frequency)
    return torch.hypot((weights * phases.cos()).sum(1), (weights * phases.sin()).sum(1))
