"""Convolutions arranged for a CPU's vector units: the same frame in less time, for inference.

Nine tenths of a new frame's time are convolutions (`python -m eqvi bench`). What brings them below:

- transforms, for wide kernels: they need fewer multiplications (`eqvi.model.transformed_convolution`);
- channels last: pixels of all channels side by side, as oneDNN's kernels read them, so that nothing is reordered
  between two layers;
- packed pixels (`PackedConv2d`): a vector register holds 16 output channels, and narrow layers have 8, 3 or 1. n
  neighbouring pixels of a row are computed as n times as many channels, by a kernel that is n - 1 columns wider and
  moves n columns at a time. The added weights are 0, and the sums are the same bit for bit.

Sums run in another order than in the plain arrangement, or are reached by transforms: frames differ by rounding.
Measuring uses the plain one.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.eqvi import EQVI
from eqvi.model.layers import to_channels_last
from eqvi.model.scopeflow import ScopeFlow
from eqvi.model.transformed_convolution import TransformedConv2d, transforms_pay

#: Channels that a vector register of 512 bits holds.
LANES = 16
#: Pixels beyond which packing loses by its added zeros more than it wins.
_MOST_PIXELS = 8


def accelerated(model: EQVI, transforms: bool = True) -> EQVI:
    """A copy of an `eqvi.EQVI` with fast convolutions; for inference, on the CPU.

    Args:
        model: it stays as it is.
        transforms: whether convolutions may be computed by transforms: only in float32.
    """
    fast = copy.deepcopy(model)
    for part in (fast.refinement, fast.mask, fast.residual, fast.fusion, fast.finishing):
        if isinstance(part, nn.Module):
            if transforms:
                _replace(part, transforms_pay, TransformedConv2d)
            to_channels_last(part)
            _replace(part, lambda layer: packed_pixels(layer) > 1, PackedConv2d)
    if isinstance(fast.flow, ScopeFlow):
        # Dilated layers gain by it. Others would lose more by laying out the concatenations that they read.
        to_channels_last(fast.flow.context.layers[1:])
    return fast


def _replace(module: nn.Module, chosen: Callable[[nn.Conv2d], bool], form: Callable[[nn.Conv2d], nn.Module]) -> None:
    """Put the chosen convolutions of a module into another form."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and chosen(child):
            setattr(module, name, form(child))
        else:
            _replace(child, chosen, form)


def packed_pixels(layer: nn.Conv2d) -> int:
    """How many pixels of a row fill a vector register; 1 where packing does not apply."""
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1
    keeps_size = layer.padding == (layer.kernel_size[0] // 2, layer.kernel_size[1] // 2)
    pixels = 1
    while plain and keeps_size and 2 * pixels * layer.out_channels <= LANES and pixels < _MOST_PIXELS:
        pixels *= 2
    return pixels


class PackedConv2d(nn.Module):
    """A convolution of stride 1 that keeps the frame's size, with several neighbouring pixels computed as channels.

    Args:
        layer: whose weights it has; `packed_pixels` of it is above 1.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.pixels = packed_pixels(layer)
        self.padding = layer.padding
        channels, inputs, height, width = layer.weight.shape
        weight = layer.weight.new_zeros(self.pixels, channels, inputs, height, width + self.pixels - 1)
        for pixel in range(self.pixels):
            weight[pixel, ..., pixel : pixel + width] = layer.weight.detach()
        weight = weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        bias = None if layer.bias is None else layer.bias.detach().repeat(self.pixels)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        width = x.shape[-1]
        missing = -width % self.pixels
        if missing:  # the last columns of the result are cut off again
            x = F.pad(x, (0, missing))
        packed = F.conv2d(x, self.weight, self.bias, (1, self.pixels), self.padding)
        # (B, H, W / n, n O) in memory is (B, H, W, O): nothing is copied.
        rows = packed.permute(0, 2, 3, 1).contiguous()
        pixels = rows.view(*rows.shape[:2], rows.shape[2] * self.pixels, -1)
        return pixels.permute(0, 3, 1, 2)[..., :width]
