"""Convolutions arranged for a CPU's vector units: the same sums in less time, for inference.

Nine tenths of a new frame's time are convolutions (`python -m eqvi bench`). Two arrangements bring those of steps 5 to
8 near the machine's rate:

- channels last: pixels of all channels side by side, as oneDNN's kernels read them, so that nothing is reordered
  between two layers;
- packed pixels (`PackedConv2d`): a vector register holds 16 output channels, and narrow layers have 8, 3 or 1. n
  neighbouring pixels of a row are computed as n times as many channels, by a kernel that is n - 1 columns wider and
  moves n columns at a time. The added weights are 0, and the sums are the same bit for bit.

Sums run in another order than in the plain arrangement: frames differ by rounding, as between two machines. Measuring
uses the plain one.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.eqvi import EQVI
from eqvi.model.layers import to_channels_last

#: Channels that a vector register of 512 bits holds.
LANES = 16
#: Pixels beyond which packing loses by its added zeros more than it wins.
_MOST_PIXELS = 8


def accelerated(model: EQVI) -> EQVI:
    """A copy of an `eqvi.EQVI` whose steps 5 to 8 and finishing have fast convolutions; for inference, on the CPU.

    The flow network stays as it is: its concatenations cost more in channels-last order than its convolutions gain.
    """
    fast = copy.deepcopy(model)
    for part in (fast.refinement, fast.mask, fast.residual, fast.fusion, fast.finishing):
        if isinstance(part, nn.Module):
            to_channels_last(part)
            _pack(part)
    return fast


def _pack(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and packed_pixels(child) > 1:
            setattr(module, name, PackedConv2d(child))
        else:
            _pack(child)


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
