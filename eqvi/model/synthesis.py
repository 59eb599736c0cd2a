"""Synthesis: from two frames and reversed flows to the frame between them, steps 5 to 8 of `eqvi.model.eqvi`.

Refinement U-Net with its adaptive flow filter, mask network, blending, residual contextual synthesis (RCSN) and
multi-scale fusion (MS-Fusion). Under autocast the networks compute in the lower precision; what they give is in the
frames' own, in which positions, blending and fusion are computed.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import Outside, Reversed, backward_warp, gradient_magnitude
from eqvi.model.layers import UNet, activate, chain, conv, joined, scaled

#: Largest offset of the adaptive flow filter, pixels.
FILTER_REACH = 10.0

Image = Float[Tensor, "b 3 h w"]
Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]


class Outer(NamedTuple):
    """A frame before or after the middle two, and the flow to it from the nearer of these, in pixels."""

    frame: Image
    flow: Flow


class SynthesisInput(NamedTuple):
    """What steps 4 to 7 read.

    Attributes:
        frame_1, frame_2: (B, 3, H, W), RGB in [0, 1].
        flow_12, flow_21: (B, 2, H, W) in pixels.
        to_t1, to_t2: the reversed flows of step 3.
        before, after: frames 0 and 3 with the flows F_10 and F_23 to them, for finishing; else None.
        paths: (B, k, ceil(H/8), ceil(W/8)), what the paths of the pixels say of their own reliability, for finishing
            (`eqvi.model.path_evidence`); None without paths.
    """

    frame_1: Image
    frame_2: Image
    flow_12: Flow
    flow_21: Flow
    to_t1: Reversed
    to_t2: Reversed
    before: Outer | None = None
    after: Outer | None = None
    paths: Float[Tensor, "b k h w"] | None = None


class Refined(NamedTuple):
    """The result of step 5.

    Attributes:
        flow_t1, flow_t2: (B, 2, H, W), pixels.
        features: (B, F, H, W), which the mask of step 6 reads; 32 channels at published width.
    """

    flow_t1: Flow
    flow_t2: Flow
    features: Tensor


class Refinement(nn.Module):
    """Step 5: a U-Net corrects both reversed flows; each is resampled nearby and shifted (adaptive flow filter)."""

    #: What the frames read beyond their edges when they are warped by the refined flows.
    outside: Outside = "zeros"
    #: Whether the holes of the reversed flows are filled before.
    fills_holes = False

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = [scaled(n, width) for n in (32, 64, 128, 256, 512, 512)]
        levels = [(5, c[1]), *((3, n) for n in c[2:])]
        self.unet = UNet(20, 8, stem=[(7, c[0]), (7, c[0])], levels=levels)

    def forward(
        self, frame_1: Image, frame_2: Image, flow_12: Flow, flow_21: Flow, to_t1: Reversed, to_t2: Reversed
    ) -> Refined:
        return self.refined(frame_1, frame_2, flow_12, flow_21, to_t1.flow, to_t2.flow)

    def refined(
        self, frame_1: Image, frame_2: Image, flow_12: Flow, flow_21: Flow, flow_t1: Flow, flow_t2: Flow
    ) -> Refined:
        """Both flows at t corrected, shifted and resampled nearby."""
        warped_1 = backward_warp(frame_1, flow_t1, self.outside)
        warped_2 = backward_warp(frame_2, flow_t2, self.outside)
        inputs = (frame_1, frame_2, warped_1, warped_2, flow_12, flow_21, flow_t1, flow_t2)
        features = self.unet.features(joined(inputs, self.unet.stem[0]))
        # Under autocast the head's output is bfloat16, which is too coarse for positions in pixels.
        shift_1, shift_2, offset_1, offset_2 = activate(self.unet.head(features)).to(flow_t1).split(2, dim=1)
        return Refined(
            backward_warp(flow_t1, FILTER_REACH * torch.tanh(offset_1), self.outside) + shift_1,
            backward_warp(flow_t2, FILTER_REACH * torch.tanh(offset_2), self.outside) + shift_2,
            features,
        )


class MaskNet(nn.Module):
    """Step 6: M in (0, 1), how much to trust warped frame 1 over warped frame 2."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        features, first, second = (scaled(n, width) for n in (32, 32, 16))
        self.layers = nn.ModuleList((conv(6 + features, first, 5), conv(first, second)))
        self.head = conv(second, 1)

    def forward(self, warped_1: Image, warped_2: Image, features: Tensor) -> Weight:
        return torch.sigmoid(self.logit(warped_1, warped_2, features))

    def logit(self, warped_1: Image, warped_2: Image, features: Tensor) -> Weight:
        """The logit of M."""
        return self.head(chain(self.layers, joined((warped_1, warped_2, features), self.layers[0]))).to(warped_1)


class ContextualResidual(nn.Module):
    """Step 7, RCSN: predicts a residual from warped context features and gradients, added to the blended frame.

    In the published model the context convolution is the first of an ImageNet ResNet-18 (7x7, no bias), at stride 1. It
    is never trained.
    """

    #: What the contexts and gradients read beyond the frame's edges when they are warped.
    outside: Outside = "zeros"

    def __init__(self, width: float = 1.0, context_channels: int = 64) -> None:
        super().__init__()
        self.context = nn.Conv2d(3, context_channels, 7, padding=3, bias=False)
        self.context.weight.requires_grad_(False)
        c = [scaled(n, width) for n in (64, 32, 64, 128, 128)]
        stem = [(7, c[0]), (7, c[1]), (3, c[1])]
        self.unet = UNet(2 * context_channels + 12, 3, stem, levels=[(5, c[2]), (3, c[3]), (3, c[4])])

    def forward(
        self, frame_1: Image, frame_2: Image, flow_t1: Flow, flow_t2: Flow, warped_1: Image, warped_2: Image
    ) -> Image:
        warped = [
            backward_warp(view(frame), flow, self.outside)
            for view, frame, flow in (
                (self.context, frame_1, flow_t1), (self.context, frame_2, flow_t2),
                (gradient_magnitude, frame_1, flow_t1), (gradient_magnitude, frame_2, flow_t2),
            )
        ]  # fmt: skip
        inputs = joined((*warped, warped_1, warped_2), self.unet.stem[0])
        del warped  # a third of the memory of a new frame
        return self.unet(inputs).to(frame_1)


class Fusion(nn.Module):
    """Step 8, MS-Fusion: w in (0, 1), the weight of the full-resolution result over the half-resolution one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList((conv(6, 32), conv(32, 32)))
        self.head = conv(32, 1)

    def forward(self, full: Image, half: Image) -> Weight:
        return torch.sigmoid(self.head(chain(self.layers, joined((full, half), self.layers[0]))).to(full))


def blend(warped_1: Image, warped_2: Image, mask: Weight, t: float | Tensor) -> Image:
    """Step 6: ((1-t) M I_1t + t (1-M) I_2t) / ((1-t) M + t (1-M)), with t a number or (B, 1, 1, 1)."""
    weight_1, weight_2 = (1 - t) * mask, t * (1 - mask)
    return (weight_1 * warped_1 + weight_2 * warped_2) / (weight_1 + weight_2)


def share_of_1(mask: Weight, t: float | Tensor) -> Weight:
    """The weight of warped frame 1 in `blend`."""
    weight_1, weight_2 = (1 - t) * mask, t * (1 - mask)
    return weight_1 / (weight_1 + weight_2)
