"""Convolutional building blocks: padded convolution, activation, and the U-Net of refinement and synthesis."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import resize, resize_part

#: Slope of every LeakyReLU in EQVI and ScopeFlow.
SLOPE = 0.1


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps the frame's size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)


def activate(x: Tensor) -> Tensor:
    """LeakyReLU with EQVI's slope; without gradients in place, in `x` itself."""
    return F.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


def activated(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer followed by its activation; in one step if the layer has one for both."""
    both = getattr(layer, "activated", None)
    return activate(layer(x)) if both is None else both(x)


def chain(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Each layer followed by its activation."""
    for layer in layers:
        x = activated(layer, x)
    return x


def joined(parts: Sequence[Tensor], layer: nn.Module) -> Float[Tensor, "b c h w"]:
    """Tensors side by side as channels, in the form in which the layer that reads them wants them."""
    form = getattr(layer, "joined", None)
    return torch.cat(tuple(parts), dim=1) if form is None else form(parts)


def to_channels_last(model: nn.Module) -> None:
    """Lay out the weights of a model's convolutions by pixel, not by channel; their results follow."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub forgets it


def scaled(channels: int, width: float) -> int:
    """`channels` at a fraction of the published width, at least one."""
    return max(1, round(channels * width))


class Part(NamedTuple):
    """Where a part of a frame stands in it, pixels: top and left are multiples of every level's factor."""

    top: int
    left: int
    height: int
    width: int

    def halved(self, times: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where the part begins and the size of the whole, after so many halvings that drop an odd last row."""
        return (self.top >> times, self.left >> times), (self.height >> times, self.width >> times)


class UNet(nn.Module):
    """Stem, levels down by average pooling, levels up with skips, and an output convolution without activation.

    Args:
        inputs, outputs: channels in and out.
        stem: (kernel, channels) of the convolutions at full resolution.
        levels: (kernel, channels) of each level down; the levels up mirror them with 3x3 kernels.

    Attributes:
        part: what its input is a part of; None for whole frames. See `as_part`.
    """

    part: Part | None = None

    def __init__(
        self, inputs: int, outputs: int, stem: Sequence[tuple[int, int]], levels: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.stem = nn.ModuleList()
        for kernel, channels in stem:
            self.stem.append(conv(inputs, channels, kernel))
            inputs = channels
        skips = []
        self.down = nn.ModuleList()
        for kernel, channels in levels:
            skips.append(inputs)
            self.down.append(nn.ModuleList((conv(inputs, channels, kernel), conv(channels, channels, kernel))))
            inputs = channels
        self.up = nn.ModuleList()
        for channels in reversed(skips):
            self.up.append(nn.ModuleList((conv(inputs, channels), conv(2 * channels, channels))))
            inputs = channels
        self.head = conv(inputs, outputs)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h w"]:
        """The last feature map, the one that the output convolution reads."""
        x = chain(self.stem, x)
        skips = []
        for level in self.down:
            skips.append(x)
            x = chain(level.children(), F.avg_pool2d(x, 2))
        for level in self.up:
            first, second = level.children()
            skip = skips.pop()
            x = activated(first, self._resized(x, (skip.shape[-2], skip.shape[-1]), len(skips)))
            x = activated(second, joined((x, skip), second))
        return x

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        return self.head(self.features(x))

    def _resized(self, x: Tensor, size: tuple[int, int], level: int) -> Tensor:
        """The feature map of the next coarser level at the size of one level."""
        if self.part is not None:
            (start, whole), (begin, resized) = self.part.halved(level + 1), self.part.halved(level)
            if resized != (2 * whole[0], 2 * whole[1]):
                return resize_part(x, size, (whole, resized), (start, begin))
        return resize(x, size, align_corners=False)


@contextlib.contextmanager
def as_part(networks: Sequence[UNet], part: Part | None) -> Iterator[None]:
    """Within this context the networks' input is that part of a frame, and is resized as the whole would be."""
    for network in networks:
        network.part = part
    try:
        yield
    finally:
        for network in networks:
            network.part = None
