"""Parts of a PWC-type flow network: feature pyramid, cost volume, dense estimator, context network, refinement.

Architecture of IRR-PWC (Hur and Roth, "Iterative Residual Refinement for Joint Optical Flow and Occlusion
Estimation", CVPR 2019; their code is Apache-2.0), which ScopeFlow keeps. Channel counts scale with `width`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model import gpu_kernels
from eqvi.model.geometry import resize
from eqvi.model.layers import activated, chain, conv, joined, scaled

#: Displacements searched to each side of the warped position, in pixels of the level.
SEARCH_RANGE = 4
COST_CHANNELS = (2 * SEARCH_RANGE + 1) ** 2
PYRAMID_CHANNELS = (16, 32, 64, 96, 128, 196)
#: Channels that every level's features are projected to, so that one decoder serves all levels.
FEATURE_CHANNELS = 32


class Level(NamedTuple):
    """One decoded level of an image's pyramid.

    Attributes:
        features: (B, C, h, w), C differs from level to level.
        projected: (B, 32, h, w) at published width.
        image: (B, 3, h, w), the image resized to the level.
    """

    features: Tensor
    projected: Tensor
    image: Tensor


class Pyramid(NamedTuple):
    """The features of one image, computed once and used for every flow from and to it.

    Attributes:
        levels: coarse to fine, 1/64 to 1/4.
        half: (B, 16, ceil(H/2), ceil(W/2)), features of the level that is not decoded.
        image: (B, 3, H, W).
    """

    levels: tuple[Level, ...]
    half: Tensor
    image: Tensor


def cost_volume(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 81 h w"]:
    """Mean over channels of first(x) second(x + d) for the 9x9 displacements d, row-major with dy outer."""
    if gpu_kernels.usable(first, second):
        return gpu_kernels.cost_volume(first, second, SEARCH_RANGE)
    height, width = first.shape[-2:]
    span = range(2 * SEARCH_RANGE + 1)
    padded = F.pad(second, (SEARCH_RANGE,) * 4)
    shifts = ((dy, dx) for dy in span for dx in span)
    return torch.stack([(first * padded[..., dy : dy + height, dx : dx + width]).mean(1) for dy, dx in shifts], dim=1)


class FeaturePyramid(nn.Module):
    """Six levels, each a stride-2 and a stride-1 convolution, and the projections of the decoded ones."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in PYRAMID_CHANNELS]
        self.levels = nn.ModuleList(
            nn.ModuleList((conv(before, after, stride=2), conv(after, after)))
            for before, after in zip([3, *channels[:-1]], channels, strict=True)
        )
        # The finest decoded level (1/4) already has as many channels as the projections give.
        self.projections = nn.ModuleList(
            conv(c, scaled(FEATURE_CHANNELS, width), kernel=1) for c in reversed(channels[2:])
        )

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Pyramid:
        maps = []
        x = image
        for level in self.levels:
            x = chain(level.children(), x)
            maps.append(x)
        half, *decoded = maps
        decoded.reverse()
        projected = [activated(p, x) for p, x in zip(self.projections, decoded, strict=False)] + [decoded[-1]]
        images = [resize(image, (x.shape[-2], x.shape[-1]), align_corners=True) for x in decoded]
        return Pyramid(tuple(map(Level, decoded, projected, images)), half, image)


class DenseEstimator(nn.Module):
    """Five densely connected convolutions and one that predicts; returns (all features, prediction)."""

    def __init__(self, inputs: int, outputs: int, width: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for channels in (128, 128, 96, 64, 32):
            channels = scaled(channels, width)
            self.layers.append(conv(inputs, channels))
            inputs += channels
        self.channels = inputs
        self.head = conv(inputs, outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        x = joined(inputs, self.layers[0])
        for layer, after in zip(self.layers, [*self.layers[1:], self.head], strict=True):
            x = joined((activated(layer, x), x), after)
        return x, self.head(x)


class ContextNetwork(nn.Module):
    """Dilated convolutions, which give a prediction a larger receptive field."""

    def __init__(self, inputs: int, outputs: int, width: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for channels, dilation in ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1)):
            channels = scaled(channels, width)
            self.layers.append(conv(inputs, channels, dilation=dilation))
            inputs = channels
        self.head = conv(inputs, outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(chain(self.layers, joined(inputs, self.layers[0])))


class KernelRefinement(nn.Module):
    """A 3x3 kernel per pixel, softmax(-f^2) of a predicted f, applied to each channel of a replicate-padded field."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for channels in (128, 128, 64, 64, 32, 32):
            channels = scaled(channels, width)
            self.layers.append(conv(inputs, channels))
            inputs = channels
        self.layers.append(conv(inputs, 9))

    def forward(self, guide: Sequence[Tensor], field: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        batch, channels, height, width = field.shape
        kernel = torch.softmax(-(chain(self.layers, joined(guide, self.layers[0])).to(field) ** 2), dim=1)
        patches = F.unfold(F.pad(field, (1, 1, 1, 1), mode="replicate"), kernel_size=3)
        return (patches.view(batch, channels, 9, height, width) * kernel[:, None]).sum(2)
