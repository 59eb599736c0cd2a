"""Weight-free refinement and mask, called as the learned ones of `eqvi.model.synthesis` are (steps 5 and 6).

A reversed flow has holes, where nothing landed, and is wrong where a surface is visible in one frame only.
`filled` fills the holes from their surroundings; `Trust` rates how far each frame can be trusted: fully where its
reversed flow is known, points inside the frame, and agrees with the flow back. `VisibilityMask` turns the two ratings
into a mask. Our own construction, in the spirit of the interpolation in Baker et al. 2011 (the Middlebury benchmark);
not part of the paper.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eqvi.model.geometry import Outside, Reversed, backward_warp, resize, sampled_inside
from eqvi.model.synthesis import Refined

#: The scale, in pixels, on which trust falls with the round-trip error.
TOLERANCE = 0.5
#: Trust that remains however large the error: a round trip also fails where only the flow is bad.
LEAST_TRUST = 0.1
#: Added to the trust in both frames, so that the mask is defined where neither can be trusted.
FLOOR = 1e-3
#: Beyond this a logit that is added to the mask's has no effect.
LARGEST_LOGIT = 30.0

Image = Float[Tensor, "b 3 h w"]
Flow = Float[Tensor, "b 2 h w"]
Weight = Float[Tensor, "b 1 h w"]


class Trust(nn.Module):
    """The trust in each frame, (B, 2, H, W), as features, beside the reversed flows, whose holes are filled before."""

    fills_holes = True
    #: Some pixels at t lie outside both frames; there is no mask network to paint over zeros.
    outside: Outside = "border"

    def forward(
        self, frame_1: Image, frame_2: Image, flow_12: Flow, flow_21: Flow, to_t1: Reversed, to_t2: Reversed
    ) -> Refined:
        flow_t1, flow_t2 = to_t1.flow, to_t2.flow
        # Frame 1 is trusted where what frame 2 shows is found again in frame 1, and vice versa.
        hidden_in_2 = backward_warp(round_trip_error(flow_12, flow_21), flow_t1)
        hidden_in_1 = backward_warp(round_trip_error(flow_21, flow_12), flow_t2)
        trust_1 = _trust(to_t1.weight == 0, flow_t1, hidden_in_1)
        trust_2 = _trust(to_t2.weight == 0, flow_t2, hidden_in_2)
        return Refined(flow_t1, flow_t2, torch.cat((trust_1, trust_2), dim=1))


class VisibilityMask(nn.Module):
    """M in (0, 1): the trust in frame 1 as a share of the trust in both."""

    def forward(self, warped_1: Image, warped_2: Image, features: Float[Tensor, "b 2 h w"]) -> Weight:
        trust_1, trust_2 = features.split(1, dim=1)
        return (trust_1 + FLOOR) / (trust_1 + trust_2 + 2 * FLOOR)


def raise_mask(mask: Weight, logit: Weight) -> Weight:
    """The mask whose logit is that of `mask` plus `logit`; where that is 0, `mask` itself, bit for bit."""
    return mask / (mask + (1 - mask) * torch.exp(-logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)))


def scale_logit(mask: Weight, factor: Float[Tensor, "1"]) -> Weight:
    """The mask whose logit is that of `mask` times `factor`; where that is 1, `mask` itself, bit for bit."""
    one, other = mask**factor, (1 - mask) ** factor
    return one / (one + other)


def filled(reversed_flow: Reversed) -> Reversed:
    """The reversed flow with its holes filled; its weight still tells where they are."""
    return reversed_flow._replace(flow=fill_holes(reversed_flow))


def fill_holes(reversed_flow: Reversed) -> Flow:
    """The reversed flow with its holes filled from a pyramid of averages of the known flow around them."""
    known = (reversed_flow.weight > 0).to(reversed_flow.flow.dtype)
    sums, counts = [reversed_flow.flow * known], [known]
    while min(sums[-1].shape[-2:]) > 1:
        sums.append(F.avg_pool2d(sums[-1], 2, ceil_mode=True))
        counts.append(F.avg_pool2d(counts[-1], 2, ceil_mode=True))
    filled = sums[-1] / counts[-1].clamp_min(1e-12)
    for total, count in zip(reversed(sums[:-1]), reversed(counts[:-1]), strict=True):
        around = resize(filled, (total.shape[-2], total.shape[-1]), align_corners=False)
        filled = torch.where(count > 0, total / count.clamp_min(1e-12), around)
    return filled


def round_trip_error(flow_ab: Flow, flow_ba: Flow) -> Weight:
    """|F_ab(x) + F_ba(x + F_ab(x))| in pixels: large where a pixel of a is hidden in b."""
    x, y = (flow_ab + backward_warp(flow_ba, flow_ab)).split(1, dim=1)
    return torch.hypot(x, y)  # vector_norm over the second axis takes thirty times as long on the CPU


def _trust(hole: Bool[Tensor, "b 1 h w"], flow: Flow, error: Weight) -> Weight:
    return ~hole * sampled_inside(flow) * (LEAST_TRUST + (1 - LEAST_TRUST) * torch.exp(-error / TOLERANCE))
