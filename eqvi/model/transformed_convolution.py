"""Convolutions with wide kernels by Fourier transforms, in a fraction of the multiplications; for inference.

A kernel of k by k pixels takes k^2 multiplications for every pixel and pair of channels. In the frequency domain, tile
by tile, it takes one complex product for every frequency. A tile of 16 by 16 pixels has 128 of them, and a kernel of 7
leaves 10 by 10 of its pixels: 5 multiplications a pixel instead of 49 (Mathieu, Henaff and LeCun, "Fast training of
convolutional networks through FFTs", ICLR 2014). The transforms come on top, so that it pays for layers with many
channels; for which was measured on a processor with AVX2, not on one with AVX-512.

They are NNPACK's, which is called here by the name that it has in PyTorch, an internal one: without it a convolution
stays what it is. NNPACK's own threads wait by spinning and hold up those of PyTorch's other operations for
milliseconds after each call. It has as many as its first caller in a process, so that this module lets it begin with
one: bands of a frame's rows are computed side by side, each in a thread of ours.

Results differ from the plain sums by rounding, more than sums in another order do.
"""

import math
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.devices import one_thread

#: Sides of the kernels that are transformed: those of 3 gain by other transforms, but little.
KERNELS = (5, 7)
#: Bytes that the transformed tiles of all threads may take together, if a row of tiles takes no more.
WORKSPACE = 2**27

# Pixels of a side of a tile.
_TILE = 16
# Multiplications of the plain sums for each value that is transformed, below which transforms cost what they spare.
_LEAST_SPARED = 250


def transforms_pay(layer: nn.Conv2d) -> bool:
    """Whether the layer is faster by transforms here: a wide kernel, stride 1, and enough channels."""
    kernel = layer.kernel_size[0]
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    square = layer.kernel_size == (kernel, kernel) and layer.padding == (kernel // 2, kernel // 2)
    inputs, outputs = layer.in_channels, layer.out_channels
    enough = kernel in KERNELS and kernel**2 * inputs * outputs >= _LEAST_SPARED * (inputs + outputs)
    return plain and square and enough and layer.weight.dtype == torch.float32 and _has_nnpack()


class TransformedConv2d(nn.Module):
    """A convolution of stride 1 that keeps the frame's size, by Fourier transforms.

    Args:
        layer: whose weights it has; `transforms_pay` for it.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert _has_nnpack(), "`transforms_pay` says no"
        self.margin = layer.kernel_size[0] // 2
        self.weight = nn.Parameter(layer.weight.detach().contiguous(), requires_grad=False)
        bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        height = x.shape[2]
        rows, together = self.bands(x.shape)
        if rows >= height:
            return self._convolved(x)
        y = x.new_empty(x.shape[0], self.weight.shape[0], *x.shape[2:])
        tops = range(0, height, rows)
        for first in range(0, len(tops), together):
            group = tops[first : first + together]
            bands = [self._band(x, top, min(top + rows, height)) for top in group]
            for top, band in zip(group, _threads(together).map(partial(self._convolved, above=0), bands), strict=True):
                y[:, :, top : top + rows] = band
        return y

    def _band(self, x: Float[Tensor, "b c h w"], top: int, bottom: int) -> Float[Tensor, "b c r w"]:
        """What those rows of the result are computed from, with zeros beyond the frame's edges."""
        first, last = top - self.margin, bottom + self.margin
        rows = x[:, :, max(0, first) : last]
        return F.pad(rows, (0, 0, max(0, -first), max(0, last - x.shape[2]))).contiguous()

    def bands(self, shape: torch.Size) -> tuple[int, int]:
        """Rows of a band of (B, C, H, W), which are those of whole tiles, and how many bands are made side by side."""
        batch, _, height, width = shape
        step = _TILE - 2 * self.margin
        down, across = (math.ceil(side / step) for side in (height, width))
        row = batch * across * sum(self.weight.shape[:2]) * _TILE**2 * self.weight.element_size()
        together = max(1, min(torch.get_num_threads(), WORKSPACE // row))
        share = math.ceil(down / together)
        return step * max(1, min(WORKSPACE // together // row, share)), together

    def _convolved(self, x: Float[Tensor, "b c h w"], above: int | None = None) -> Float[Tensor, "b o p w"]:
        """The convolution, with so many rows of zeros above and below the frame, else with `margin`."""
        rows = self.margin if above is None else above
        return torch._nnpack_spatial_convolution(x, self.weight, self.bias, (rows, self.margin))


@cache
def _has_nnpack() -> bool:
    """Whether this PyTorch has NNPACK for this processor; asking begins it. Elsewhere it was not measured."""
    if not (sys.platform == "linux" and platform.machine() == "x86_64" and torch.backends.nnpack.is_available()):
        return False
    if not hasattr(torch, "_nnpack_spatial_convolution"):
        return False
    with one_thread():
        torch._nnpack_spatial_convolution(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 5, 5), torch.zeros(1), (2, 2))
    return True


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "convolution")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a new process has none of these threads
