"""The networks of `eqvi.model.matching`: features, corrections of both flows, mask and residual.

Everything is at one resolution, with flows in its pixels; t is a number or (B, 1, 1, 1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import backward_warp
from eqvi.model.layers import activate, chain, conv

#: Channels of the frames' features at 1/2, 1/4 and 1/8 of the resolution.
FEATURES = (16, 32, 48)
#: Sharpness of the soft maxima of a cost volume; the shift of the sharper one is taken where its gate is open.
SHARPNESS = (6.0, 20.0)
#: Bias of that gate, which is nearly closed where the last layer gives 0.
GATE_BIAS = -3.0

Image = Float[Tensor, "b 3 h w"]
Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]
Features = Float[Tensor, "b c h w"]


class Encoder(nn.Module):
    """Features of a frame at 1/2, 1/4 and 1/8 of its resolution; the lower two normalised per channel and frame."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        inputs = 3
        for channels in FEATURES:
            self.layers.append(nn.ModuleList((conv(inputs, channels, stride=2), conv(channels, channels))))
            inputs = channels

    def forward(self, frame: Image) -> list[Tensor]:
        x = (frame - 0.45) / 0.25
        maps = []
        for level in self.layers:
            x = chain(level.children(), x)
            maps.append(x)
        return [maps[0], *(F.instance_norm(features) for features in maps[1:])]


class Pair(NamedTuple):
    """What a correction works on: both frames' features, both flows, and the mask's logit, at one resolution."""

    features_1: Features
    features_2: Features
    flow_t1: Flow
    flow_t2: Flow
    logit: Weight

    def moved(self, delta: Flow, logit: Weight, t: float | Tensor) -> "Pair":
        """The pair with its flows moved along the path, and its logit raised."""
        return self._replace(
            flow_t1=self.flow_t1 - t * delta, flow_t2=self.flow_t2 + (1 - t) * delta, logit=self.logit + logit
        )


class Correction(nn.Module):
    """Moves both flows along the path, from a bilateral cost volume.

    Args:
        channels: of the features.
        radius: of the cost volume, in pixels of this resolution.
        width: channels of the layers.
    """

    shifts: Tensor

    def __init__(self, channels: int, radius: int, width: int) -> None:
        super().__init__()
        self.radius = radius
        line = torch.arange(-radius, radius + 1).float()
        shifts = torch.stack((line.repeat(len(line)), line.repeat_interleave(len(line))), dim=1)
        self.register_buffer("shifts", shifts.view(1, -1, 2, 1, 1), persistent=False)
        inputs = 6 + len(line) ** 2 + 2 * channels + 4 + 4 + 2
        self.first = conv(inputs, width)
        self.layers = nn.ModuleList(conv(width, width, dilation=dilation) for dilation in (1, 2, 1))
        self.head = conv(width, 4)
        #: How much of the cost volume's own shift the gate lets through; 0 in a new model.
        self.opening = nn.Parameter(torch.zeros(1))

    def forward(self, pair: Pair, hints: Float[Tensor, "b 3 h w"], t: float | Tensor) -> Pair:
        warped_1 = backward_warp(pair.features_1, pair.flow_t1, "border")
        warped_2 = backward_warp(pair.features_2, pair.flow_t2, "border")
        cost = cost_volume(warped_1, warped_2, self.radius)
        soft, shift = self._soft_maxima(cost)
        speed = ((1 - t) * pair.flow_t1 + t * pair.flow_t2).norm(dim=1, keepdim=True) / 4
        flows = (pair.flow_t1 / 8, pair.flow_t2 / 8)
        inputs = (soft, cost, warped_1, warped_2, *flows, with_time(hints, t), pair.logit, speed)
        x = activate(self.first(torch.cat(inputs, dim=1)))
        for layer in self.layers:
            x = x + activate(layer(x))
        # Under autocast the head's output is bfloat16, which is too coarse for positions in pixels.
        delta, logit, gate = self.head(x).to(shift).split((2, 1, 1), dim=1)
        gate = self.opening * torch.sigmoid(gate + GATE_BIAS)
        return pair.moved(delta - 2 * gate * shift, logit, t)

    def _soft_maxima(self, cost: Float[Tensor, "b k h w"]) -> tuple[Float[Tensor, "b 6 h w"], Flow]:
        """For each sharpness the mean shift and its largest weight; and the sharper mean shift again."""
        smooth = F.avg_pool2d(cost, 3, 1, 1)
        parts = []
        for sharpness in SHARPNESS:
            weights = torch.softmax(sharpness * smooth, dim=1)
            parts += [(weights[:, :, None] * self.shifts).sum(1), weights.amax(1, keepdim=True)]
        return torch.cat(parts, dim=1), parts[-2]


class FineCorrection(nn.Module):
    """Moves both flows along the path at half resolution, without a cost volume."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = conv(2 * channels + 4 + 4 + 2, width)
        self.layers = nn.ModuleList(conv(width, width, dilation=dilation) for dilation in (1, 2, 1))
        self.head = conv(width, 3)

    def forward(self, pair: Pair, hints: Float[Tensor, "b 3 h w"], t: float | Tensor) -> Pair:
        warped_1 = backward_warp(pair.features_1, pair.flow_t1, "border")
        warped_2 = backward_warp(pair.features_2, pair.flow_t2, "border")
        unlike = (warped_1 - warped_2).abs().mean(1, keepdim=True)
        flows = (pair.flow_t1 / 8, pair.flow_t2 / 8)
        inputs = (warped_1, warped_2, *flows, with_time(hints, t), pair.logit, unlike)
        x = activate(self.first(torch.cat(inputs, dim=1)))
        for layer in self.layers:
            x = x + activate(layer(x))
        delta, logit = self.head(x).to(pair.flow_t1).split((2, 1), dim=1)
        return pair.moved(delta, logit, t)


class MaskAndResidual(nn.Module):
    """A U-Net from half resolution down: the mask's logit and the residual, from all that is warped to t.

    Args:
        channels: of its layers at 1/2, 1/4 and 1/8.
    """

    def __init__(self, channels: tuple[int, int, int] = (32, 48, 64)) -> None:
        super().__init__()
        a, b, c = channels
        self.fine = nn.ModuleList((conv(2 * 12 + 7, a), conv(a, a)))
        self.middle = nn.ModuleList((conv(a + 2 * FEATURES[1], b), conv(b, b)))
        self.coarse = nn.ModuleList((conv(b, c), conv(c, c)))
        self.up = nn.ModuleList((conv(c + b, b), conv(b + a, a)))
        self.head = conv(a, 4 * 4)

    def forward(
        self, pictures: Sequence[Image], contexts: Sequence[Float[Tensor, "b c r s"]], known: Float[Tensor, "b k p q"]
    ) -> tuple[Weight, Image]:
        """The logit and the residual at full resolution.

        Args:
            pictures: the frames, warped to t at full resolution.
            contexts: both frames' features at 1/4, warped to t.
            known: at half resolution, seven: the mask's logit so far, t, both holes, the logit of the visibility mask,
                and both shares that are sampled inside the frame.
        """
        frames = [F.pixel_unshuffle(picture, 2) - 0.5 for picture in pictures]
        half = chain(self.fine.children(), torch.cat((*frames, known), dim=1))
        quarter = chain(self.middle.children(), torch.cat((lower(half), *contexts), dim=1))
        eighth = chain(self.coarse.children(), lower(quarter))
        quarter = activate(self.up[0](torch.cat((double(eighth), quarter), dim=1)))
        half = activate(self.up[1](torch.cat((double(quarter), half), dim=1)))
        logit, residual = F.pixel_shuffle(self.head(half), 2).to(pictures[0]).split((1, 3), dim=1)
        return logit, residual


def cost_volume(features_1: Features, features_2: Features, radius: int) -> Float[Tensor, "b k h w"]:
    """Correlation of features 1 at x + k with features 2 at x - k, for all k within `radius`, row by row.

    Features are normalised over their channels, to mean 0 and variance 1; beyond the frame they are 0.
    """
    height, width = features_1.shape[-2:]
    first, second = (F.pad(_normalised(features), (radius,) * 4) for features in (features_1, features_2))
    rows = range(2 * radius + 1)
    products = [
        (
            first[..., y : y + height, x : x + width]
            * second[..., 2 * radius - y :, 2 * radius - x :][..., :height, :width]
        ).mean(1)
        for y in rows
        for x in rows
    ]
    return torch.stack(products, dim=1)


def _normalised(features: Features) -> Features:
    centred = features - features.mean(1, keepdim=True)
    return centred * (centred.square().mean(1, keepdim=True) + 1e-4).rsqrt()


def with_time(x: Float[Tensor, "b c h w"], t: float | Tensor) -> Float[Tensor, "b c1 h w"]:
    """`x` with t at every pixel as the first channel."""
    return torch.cat((torch.zeros_like(x[:, :1]) + t, x), dim=1)


def lower(x: Float[Tensor, "b c h w"], factor: int = 2) -> Float[Tensor, "b c p q"]:
    """At 1/`factor` of the resolution, by averages."""
    return F.avg_pool2d(x, factor)


def double(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """At twice the resolution, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
