"""Convolutional building blocks: padded convolution, activation, and the U-Net of refinement and synthesis."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import resize

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


class UNet(nn.Module):
    """Stem, levels down by average pooling, levels up with skips, and an output convolution without activation.

    Args:
        inputs, outputs: channels in and out.
        stem: (kernel, channels) of the convolutions at full resolution.
        levels: (kernel, channels) of each level down; the levels up mirror them with 3x3 kernels.
    """

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
            x = activated(first, resize(x, (skip.shape[-2], skip.shape[-1]), align_corners=False))
            x = activated(second, joined((x, skip), second))
        return x

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        return self.head(self.features(x))
