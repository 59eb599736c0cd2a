"""Matching at t: both reversed flows corrected together, then a mask and a residual (in place of steps 5 to 7).

EQVI's refinement corrects two flows from warped frames and flows; it sees no correlation between the frames. Here the
two are matched at t. Write for a pixel x at t

    common part      c = ((1 - t) F_t1 + t F_t2): where on its path the pixel stands,
    difference part  d = F_t2 - F_t1:             which pixels of frames 1 and 2 belong together.

Frames 1 and 2 show d, not c. So a correction moves d alone, along the path: with delta from a small network,

    F_t1 <- F_t1 - t delta,    F_t2 <- F_t2 + (1 - t) delta

which leaves c as it was at every t; c is moved by `eqvi.model.timing` alone, from longer paths. What that network reads
is a bilateral cost volume at t (Park et al., BMBC, ECCV 2020): the correlation of frame 1's features at x + F_t1 + k
with frame 2's at x + F_t2 - k, for shifts k of a few pixels. Two corrections follow one another at 1/8 of the
resolution, two at 1/4, and one at 1/2 without a cost volume. Each also adds to the mask's logit. A U-Net from half
resolution down then reads both frames and their features warped to t, and gives the rest of the mask's logit, and a
residual which is added to the blended frame.

The start is the weight-free method of `eqvi.model.visibility`: reversed flows with their holes filled, its visibility
mask, to whose logit ours is added, and a rim that is held. Last layers are zero in a new model, so that its frames are
those of the weight-free method, bit for bit. Not part of the paper.

Shapes: frames (B, 3, H, W); flows (B, 2, H, W) in pixels of their own resolution; t a number or (B, 1, 1, 1). Any size:
inside, everything is padded to a multiple of 8.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.geometry import backward_warp, pad_to, reverse_flow, sampled_inside
from eqvi.model.layers import SLOPE
from eqvi.model.matching_layers import (
    FEATURES,
    Correction,
    Encoder,
    FineCorrection,
    MaskAndResidual,
    Pair,
    double,
    lower,
    with_time,
)
from eqvi.model.timing import Timing, path_evidence
from eqvi.model.trajectories import Position
from eqvi.model.visibility import Trust, VisibilityMask, filled, raise_mask, scale_logit

#: Radii of the cost volumes of the two corrections at 1/8, and of the two at 1/4.
EIGHTH_RADII, QUARTER_RADII = (3, 3), (3, 2)
#: Sizes are padded to a multiple of it.
MULTIPLE = 8

Image = Float[Tensor, "b 3 h w"]
Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]


class Stage(NamedTuple):
    """Both flows at t after a correction, (B, 2, h, w) in pixels of the full resolution."""

    flow_t1: Flow
    flow_t2: Flow


class Matched(NamedTuple):
    """The result of matching at t.

    Attributes:
        flow_t1, flow_t2: (B, 2, H, W) in pixels.
        warped_1, warped_2: (B, 3, H, W), frames 1 and 2 warped to t by them.
        mask: (B, 1, H, W) in (0, 1).
        residual: (B, 3, H, W), added to the blended frame.
        stages: flows after every correction, at the resolution of that, coarse to fine.
    """

    flow_t1: Flow
    flow_t2: Flow
    warped_1: Image
    warped_2: Image
    mask: Weight
    residual: Image
    stages: tuple[Stage, ...]


class Matching(nn.Module):
    """Steps 3 to 7 of `eqvi.model.eqvi` by matching at t.

    Args:
        width: channels of the corrections with a cost volume.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        half, quarter, eighth = FEATURES
        self.trust, self.visibility = Trust(), VisibilityMask()
        self.encoder = Encoder()
        self.timing = Timing()
        self.coarse = nn.ModuleList(Correction(eighth, radius, width) for radius in EIGHTH_RADII)
        self.middle = nn.ModuleList(Correction(quarter, radius, width) for radius in QUARTER_RADII)
        self.fine = nn.ModuleList((FineCorrection(half, width // 2),))
        self.synthesis = MaskAndResidual()
        #: How much the visibility mask's logit counts in the mask's: fully in a new model.
        self.prior = nn.Parameter(torch.ones(1))
        initialize(self)

    def forward(
        self,
        frame_1: Image,
        frame_2: Image,
        flow_12: Flow,
        flow_21: Flow,
        flow_1t: Flow,
        flow_2t: Flow,
        positions: tuple[Mapping[int, Position], Mapping[int, Position]] | None,
        t: float | Tensor,
    ) -> Matched:
        """The flows, the warped frames, the mask and the residual at t.

        Args:
            frame_1, frame_2: RGB in [0, 1].
            flow_12, flow_21: between them, in pixels.
            flow_1t, flow_2t: of the motion model, with the corrections of trajectories if there are any.
            positions: of their pixels in the other frames (`eqvi.model.trajectories.follow`), or None.
            t: in (0, 1).
        """
        # The start: reversed flows without holes, and how far either frame can be trusted.
        to_t1, to_t2 = filled(reverse_flow(flow_1t)), filled(reverse_flow(flow_2t))
        start = self.trust(frame_1, frame_2, flow_12, flow_21, to_t1, to_t2)
        height, width = frame_1.shape[-2:]
        start_1, start_2, first, second = map(padded, (start.flow_t1, start.flow_t2, frame_1, frame_2))
        holes = padded(torch.cat((to_t1.weight == 0, to_t2.weight == 0), dim=1).to(first))
        features_1, features_2 = self.encoder(first), self.encoder(second)

        # The trust in both frames reads no picture
        visible = self.visibility(frame_1, frame_2, start.features)
        hints = torch.cat((holes, padded(torch.logit(visible))), dim=1)

        # Timing moves the common part
        paths = (None, None) if positions is None else positions
        evidence_1 = path_evidence(flow_1t, start.flow_t1, paths[0], t, *first.shape[-2:])
        evidence_2 = path_evidence(flow_2t, start.flow_t2, paths[1], 1 - t, *first.shape[-2:])
        flows = lower(torch.cat((start_1, start_2), dim=1), 8) / 8
        moved = self.timing(evidence_1, evidence_2, flows, with_time(lower(hints, 8), t), t)

        # Corrections from coarse to fine; the changes are what has been added so far, in pixels of the next scale
        change_1 = change_2 = -moved / 8
        logit = torch.zeros_like(moved[:, :1])
        stages: list[Stage] = []
        for scale, own_1, own_2, corrections in (
            (8, features_1[2], features_2[2], self.coarse),
            (4, features_1[1], features_2[1], self.middle),
            (2, features_1[0], features_2[0], self.fine),
        ):
            base_1, base_2 = lower(start_1, scale) / scale, lower(start_2, scale) / scale
            pair = Pair(own_1, own_2, base_1 + change_1, base_2 + change_2, logit)
            for correction in corrections:
                pair = correction(pair, lower(hints, scale), t)
                stages.append(Stage(pair.flow_t1 * scale, pair.flow_t2 * scale))
            change_1, change_2 = 2 * double(pair.flow_t1 - base_1), 2 * double(pair.flow_t2 - base_2)
            logit = double(pair.logit)
        flow_t1 = start.flow_t1 + change_1[..., :height, :width]
        flow_t2 = start.flow_t2 + change_2[..., :height, :width]

        # Mask and residual
        warped_1, warped_2 = backward_warp(frame_1, flow_t1, "border"), backward_warp(frame_2, flow_t2, "border")
        inside = torch.cat((sampled_inside(pair.flow_t1), sampled_inside(pair.flow_t2)), dim=1)
        contexts = [
            backward_warp(features[1], lower(flow) / 2, "border")
            for features, flow in ((features_1, pair.flow_t1), (features_2, pair.flow_t2))
        ]
        known = torch.cat((pair.logit, with_time(lower(hints), t), inside), dim=1)
        rest, residual = self.synthesis((padded(warped_1), padded(warped_2)), contexts, known)
        mask = raise_mask(scale_logit(visible, self.prior), (logit + rest)[..., :height, :width])
        return Matched(flow_t1, flow_t2, warped_1, warped_2, mask, residual[..., :height, :width], tuple(stages))


def padded(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """`x` with its last row and column repeated up to a multiple of `MULTIPLE`."""
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in x.shape[-2:])
    return pad_to(x, height, width)


def initialize(network: nn.Module) -> None:
    """Draw the convolutions' weights; those of last layers, named ``head``, are zero."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:  # where there are numbers
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.get_parameter("bias"))
            if name.endswith("head"):
                nn.init.zeros_(layer.weight)
